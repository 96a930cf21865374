// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Makes a packet what it is when it leaves: frame, headers, checksum, and where to. */
#pragma once
#include "read.h"

/* The frame in front of the data as it leaves; returns how long the padding behind the data is. */
__noinline __u32 make_front(struct work *work, struct slot *slot)
{
	const struct packet *packet;
	__u32 padding, length;
	int i;

	if (!work || !slot)
		return 0;
	packet = &work->packet;
	padding = -packet->data & 3;
	length = slot->front_length;
	for (i = 0; i < MAX_FRONT / 4; i++)
		((__u32 *)work->front)[i] = ((const __u32 *)slot->front)[i];
	if (length == 4) {
		*(__u16 *)(work->front + 2) = bpf_htons(packet->data);
		return 0;
	}
	if (length != 36 && length != 48)
		return 0;
	*(__u16 *)(work->front + 2) = bpf_htons(length - STUN_HEADER + packet->data + padding);
	*(__u16 *)(work->front + (length == 36 ? 34 : 46)) = bpf_htons(packet->data);
	return padding;
}

/* What the checksum is made of besides headers and data: the front, and what follows the data. */
__noinline __u64 frame_change(struct work *work)
{
	__u32 front, data, rest;
	__u64 sum = 0;
	int i;

	if (!work)
		return 0;
	front = work->packet.front;
	data = work->packet.data;
	rest = (front + (data & ~3)) & (BODY - 1);
	for (i = 0; i < MAX_FRONT / 4; i++) {
		sum += word_at(work->front + 4 * i);
		if (4 * i < front)
			sum += less(word_at(work->body + 4 * i));
	}
	for (i = 0; i < 4; i++)
		sum += less(word_at(work->body + rest + 4 * i));
	return sum + (word_at(work->body + rest) & ((1U << 8 * (data & 3)) - 1));
}

/* Whether a checksum that looks unfinished is finished, too: then nobody can say what it is. */
__noinline int is_ambiguous(struct work *work)
{
	const struct packet *packet;
	const struct key *key;
	__u32 size, at, part;
	__u64 sum;

	if (!work)
		return 1;
	key = &work->key;
	packet = &work->packet;
	size = ((packet->payload + 3) & ~3) & (BODY - 1);
	sum = pseudo(key->from, key->to, packet->payload);
	sum += key->from_port + (__u64)key->to_port + bpf_htons(packet->payload + sizeof(struct udphdr)) + packet->check;
	for (at = 0; at < MAX_PACKET; at += MAX_SUMMED) {
		if (at >= size)
			break;
		part = size - at;
		if (part > MAX_SUMMED)
			part = MAX_SUMMED;
		sum += (__u32)bpf_csum_diff(0, 0, (__be32 *)(work->body + at), part, 0);
	}
	return fold(sum) == 0xffff;
}

/* The checksum of a packet as it leaves, unfinished if it came so; 0: it cannot be told. */
static __always_inline __u16 new_checksum(struct work *work, const struct slot *out, __u32 payload)
{
	const struct packet *packet = &work->packet;
	const struct key *key = &work->key;
	__u16 before = fold(pseudo(key->from, key->to, packet->payload));
	__u64 sum = pseudo(out->from, out->to, payload);

	if (packet->check == before)
		return is_ambiguous(work) ? 0 : fold(sum);
	sum += out->from_port + (__u64)out->to_port + bpf_htons(payload + sizeof(struct udphdr));
	sum += less(before) + less(key->from_port) + less(key->to_port);
	sum += less(bpf_htons(packet->payload + sizeof(struct udphdr)));
	sum += (__u16)~packet->check + frame_change(work);
	return (__u16)~fold(sum) ?: 0xffff; /* zero would mean that there is none */
}

static __always_inline __u8 kept_mark(__u8 mark)
{
	return mark < CS6 ? mark & DSCP : 0;
}

static __always_inline int store_v4(struct __sk_buff *skb, const struct slot *slot, const struct config *settings,
				    __u8 mark, __u32 payload, __u16 check)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
	} head = {};
	__u64 sum = 0;
	int i;

	head.ip.version = 4;
	head.ip.ihl = 5;
	head.ip.tos = kept_mark(mark);
	head.ip.tot_len = bpf_htons(sizeof(head) + payload);
	head.ip.id = bpf_get_prandom_u32();
	head.ip.ttl = settings->ttl;
	head.ip.protocol = IPPROTO_UDP;
	head.ip.saddr = slot->from[0];
	head.ip.daddr = slot->to[0];
	for (i = 0; i < 5; i++)
		sum += ((__u32 *)&head.ip)[i];
	head.ip.check = ~fold(sum);
	head.udp.source = slot->from_port;
	head.udp.dest = slot->to_port;
	head.udp.len = bpf_htons(sizeof(head.udp) + payload);
	head.udp.check = check;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &head, sizeof(head), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int store_v6(struct __sk_buff *skb, const struct slot *slot, const struct config *settings,
				    __u8 mark, __u32 payload, __u16 check)
{
	struct {
		struct ipv6hdr ip;
		struct udphdr udp;
	} head = {};
	int i;

	*(__u32 *)&head.ip = bpf_htonl(6U << 28 | (__u32)kept_mark(mark) << 20 | (slot->label & 0xfffff));
	head.ip.payload_len = bpf_htons(sizeof(head.udp) + payload);
	head.ip.nexthdr = IPPROTO_UDP;
	head.ip.hop_limit = settings->hop_limit;
	for (i = 0; i < 4; i++) {
		head.ip.saddr.in6_u.u6_addr32[i] = slot->from[i];
		head.ip.daddr.in6_u.u6_addr32[i] = slot->to[i];
	}
	head.udp.source = slot->from_port;
	head.udp.dest = slot->to_port;
	head.udp.len = bpf_htons(sizeof(head.udp) + payload);
	head.udp.check = check;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &head, sizeof(head), BPF_F_RECOMPUTE_CSUM);
}

/* Puts the new front and the data into the packet, behind its headers. */
static __always_inline int store_payload(struct __sk_buff *skb, struct work *work, const struct slot *slot,
					 const struct packet *packet, __u32 padding)
{
	__u32 at = ETH_HLEN + packet->headers, last = packet->data + padding - 1, front = slot->front_length;
	int i;

	for (i = 0; i < 3; i++) /* the padding; behind it, the payload has ended */
		if (i < padding)
			work->body[(packet->front + packet->data + i) & (BODY - 1)] = 0;
	if (front == 4 && bpf_skb_store_bytes(skb, at, work->front, 4, BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (front == 36 && bpf_skb_store_bytes(skb, at, work->front, 36, BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (front == 48 && bpf_skb_store_bytes(skb, at, work->front, 48, BPF_F_RECOMPUTE_CSUM))
		return -1;
	if (!(packet->data + padding))
		return 0;
	last &= BODY - 1;
	if (last >= MAX_PACKET)
		return -1;
	return bpf_skb_store_bytes(skb, at + front, work->body + (packet->front & 63), last + 1, BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int send(struct __sk_buff *skb, const struct slot *slot)
{
	struct bpf_redir_neigh hop = {};
	int i;

	bpf_set_hash_invalid(skb);
	if (!slot->has_hop)
		return bpf_redirect_neigh(slot->interface, 0, 0, 0);
	hop.nh_family = slot->has_hop;
	for (i = 0; i < 4; i++)
		hop.ipv6_nh[i] = slot->hop[i];
	return bpf_redirect_neigh(slot->interface, &hop, sizeof(hop), 0);
}
