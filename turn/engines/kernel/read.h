// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Reads a packet: its headers, its payload, and the frame that a client's data is in. */
#pragma once
#include "checksum.h"

static __always_inline __u32 word_at(const __u8 *bytes)
{
	return *(const __u32 *)bytes;
}

static __always_inline __u16 half_at(const __u8 *bytes)
{
	return bpf_ntohs(*(const __u16 *)bytes);
}

static __always_inline int read_v4(struct __sk_buff *skb, struct key *key, struct packet *packet)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
	} head;
	__u64 sum = 0;
	int i;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &head, sizeof(head)) || head.ip.version != 4 || head.ip.ihl != 5 ||
	    head.ip.protocol != IPPROTO_UDP || head.ip.frag_off & bpf_htons(IP_OFFSET_AND_MORE))
		return 0;
	for (i = 0; i < 5; i++)
		sum += ((__u32 *)&head.ip)[i];
	if (fold(sum) != 0xffff || bpf_ntohs(head.ip.tot_len) != sizeof(head.ip) + bpf_ntohs(head.udp.len))
		return 0;
	key->from[0] = head.ip.saddr;
	key->to[0] = head.ip.daddr;
	key->from_port = head.udp.source;
	key->to_port = head.udp.dest;
	packet->headers = sizeof(head);
	packet->payload = bpf_ntohs(head.udp.len) - sizeof(head.udp);
	packet->check = head.udp.check;
	packet->mark = head.ip.tos;
	return bpf_ntohs(head.udp.len) >= sizeof(head.udp);
}

static __always_inline int read_v6(struct __sk_buff *skb, struct key *key, struct packet *packet)
{
	struct {
		struct ipv6hdr ip;
		struct udphdr udp;
	} head;
	int i;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &head, sizeof(head)) || head.ip.version != 6 ||
	    head.ip.nexthdr != IPPROTO_UDP || head.ip.payload_len != head.udp.len)
		return 0;
	for (i = 0; i < 4; i++) {
		key->from[i] = head.ip.saddr.in6_u.u6_addr32[i];
		key->to[i] = head.ip.daddr.in6_u.u6_addr32[i];
	}
	key->from_port = head.udp.source;
	key->to_port = head.udp.dest;
	packet->headers = sizeof(head);
	packet->payload = bpf_ntohs(head.udp.len) - sizeof(head.udp);
	packet->check = head.udp.check;
	packet->mark = head.ip.priority << 4 | head.ip.flow_lbl[0] >> 4;
	return bpf_ntohs(head.udp.len) >= sizeof(head.udp);
}

/* Whether this is a UDP packet of a kind that may ride, and what is in its headers. */
static __always_inline int read_headers(struct __sk_buff *skb, struct key *key, struct packet *packet)
{
	if (skb->pkt_type != PACKET_HOST || skb->gso_size || skb->vlan_present)
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		key->family = V4;
		if (!read_v4(skb, key, packet))
			return 0;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		key->family = V6;
		if (!read_v6(skb, key, packet))
			return 0;
	} else {
		return 0;
	}
	return packet->check && packet->headers + packet->payload <= MAX_PACKET &&
	       skb->len >= ETH_HLEN + packet->headers + packet->payload;
}

/* Copies the payload into the workspace, with zeros behind it. */
static __always_inline int load_payload(struct __sk_buff *skb, struct work *work, const struct packet *packet)
{
	__u32 last = packet->payload - 1, end = packet->payload & (BODY - 1);
	int i;

	if (packet->payload) {
		last &= BODY - 1;
		if (bpf_skb_load_bytes(skb, ETH_HLEN + packet->headers, work->body, last + 1))
			return 0;
	}
	for (i = 0; i < 16; i++)
		work->body[end + i] = 0;
	return 1;
}

/* ChannelData: UDP needs no padding, but may have it (RFC 8656 12.4). */
static __always_inline int read_channel(struct work *work, struct key *key, struct packet *packet)
{
	key->kind = CHANNEL;
	key->channel = *(__u16 *)work->body;
	packet->front = 4;
	packet->data = half_at(work->body + 2);
	return packet->data + 4 <= packet->payload && packet->payload <= packet->data + 7;
}

/* A Send indication of XOR-PEER-ADDRESS, DATA and perhaps FINGERPRINT, in the order that browsers use. */
static __always_inline int read_send(struct work *work, struct key *key, struct packet *packet)
{
	__u8 *body = work->body;
	__u32 size = packet->payload, length, attribute, end;
	int i;

	if (size < STUN_HEADER + 16 || size & 3 || half_at(body) != SEND_INDICATION || half_at(body + 2) != size - STUN_HEADER ||
	    word_at(body + 4) != bpf_htonl(COOKIE) || half_at(body + 20) != XOR_PEER_ADDRESS)
		return 0;
	key->kind = INDICATION;
	length = half_at(body + 22);
	if (length == 8)
		packet->front = 36;
	else if (length == 20)
		packet->front = 48;
	else
		return 0;
	for (i = 0; i < length / 4; i++) {
		if (i >= 5)
			break;
		key->peer[i] = word_at(body + 24 + 4 * i);
		if (i >= 2) /* the cookie in front of the id hides port and start of an address, too, but always alike */
			key->peer[i] ^= word_at(body + 4 * i);
	}
	if (size < packet->front)
		return 0;
	attribute = bpf_ntohl(word_at(body + (length == 8 ? 32 : 44)));
	packet->data = attribute & 0xffff;
	if (attribute >> 16 != DATA || packet->front + packet->data > size)
		return 0;
	end = packet->front + ((packet->data + 3) & ~3);
	return end >= size || end + 8 == size;
}

/* Whether more than padding follows the data. */
static __always_inline int has_fingerprint(const struct packet *packet)
{
	return packet->front + ((packet->data + 3) & ~3) < packet->payload;
}

/* The CRC-32 of the first `end` bytes, not turned yet. */
static __always_inline __u32 crc_of(const struct work *work, __u32 end)
{
	__u32 zero = 0, crc = 0xffffffff, at;
	__u32(*table)[256];

	table = bpf_map_lookup_elem(&crc_table, &zero);
	if (!table)
		return 0;
	for (at = 0; at < MAX_PACKET; at += 4) {
		if (at >= end)
			break;
		crc ^= word_at(work->body + at);
		crc = table[3][crc & 0xff] ^ table[2][crc >> 8 & 0xff] ^ table[1][crc >> 16 & 0xff] ^ table[0][crc >> 24];
	}
	return crc;
}

/* Whether there is a right FINGERPRINT at `end` (RFC 8489 14.7). */
__noinline int is_fingerprint(struct work *work, __u32 end)
{
	if (!work || word_at(work->body + (end & (BODY - 1))) != bpf_htonl(FINGERPRINT << 16 | 4))
		return 0;
	return word_at(work->body + ((end + 4) & (BODY - 1))) == bpf_htonl(~crc_of(work, end) ^ FINGERPRINT_XOR);
}
