// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Carries the packets of linked flows at the entrance of an interface (tc), before any socket sees them.
 *
 * This is a cache of turn/engines/table.py: what it does not know, or cannot do, goes up to the sockets of the
 * portable engine, where the same flow is linked. So each odd case is one line here: up.
 *
 * Headers stay where they are and the payload moves. So the place of an unfinished checksum, which belongs to
 * the packet (CHECKSUM_PARTIAL), stays right on loopback and between containers and virtual machines.
 *
 * User space (turn/engines/kernel/layout.py) writes all maps; structures and numbers must be the same there.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PACKET_HOST 0
#define V4 4
#define V6 6
#define IP_OFFSET_AND_MORE 0x3fff /* all of the field but "don't fragment" */

#define MAX_PACKET 1280 /* bytes of an IP packet: this many fit every path, so no errors must be made */
#define MAX_FRONT 48	/* bytes in front of data: a Data indication about an IPv6 peer */
#define BODY 2048	/* bytes, a power of two above MAX_PACKET */

#define FROM_PEER 0
#define CHANNEL 1
#define INDICATION 2

#define LISTENER 1 /* what is at a port */
#define RELAYED 2

#define STREAMS 8     /* that one direction of a flow names; a call of voice has one */
#define RTCP STREAMS  /* stands for SRTCP in `left` */
#define SHORTEST_RTP 16
#define MOST_IN_COMPOUND 16

#define SEND_INDICATION 0x0016
#define DATA_INDICATION 0x0017
#define STUN_HEADER 20
#define COOKIE 0x2112A442
#define XOR_PEER_ADDRESS 0x0012
#define DATA 0x0013
#define FINGERPRINT 0x8028
#define FINGERPRINT_XOR 0x5354554E

#define SECOND 1000000000ULL
#define CS6 0xC0 /* marks from here on are for routers */
#define DSCP 0xFC

/* Which packets a direction of a flow claims; as they stand in the packet, in network order. */
struct key {
	__u32 from[4], to[4];
	__u16 from_port, to_port;
	__u8 kind, family;
	__u16 channel;
	__u32 peer[5]; /* XOR-PEER-ADDRESS with a transaction id of zeros */
};

/* One direction of a flow: where its packets go, what may pass, and what has passed. */
struct slot {
	__u32 tag; /* says to user space whose sample this is */
	__u32 bucket;
	__u32 mate; /* the slot towards the client that the peer is; 0: the peer is none of ours */
	__u32 interface;
	__u32 from[4], to[4];
	__u16 from_port, to_port;
	__u8 family, has_hop, front_length, anything;
	__u32 hop[4];
	__u8 front[MAX_FRONT];
	__u32 label;
	__u8 rtcp, streams;
	__u16 unused;
	__u32 stream[STREAMS];
	__u32 left[STREAMS + 1]; /* packets of each stream until the next one is shown */
	__u32 unused_too;
	__u64 packets, bytes, dropped;
};

/* What an allocation may still carry: in billionths of a packet and of a bit, so that nothing is divided. */
struct bucket {
	__s64 packets, bits;
	__u64 filled;
	__u64 packets_per_second, bits_per_second; /* 0: no limit */
	__u64 most_packets, most_bits;
	__u64 packets_full_after, bits_full_after; /* nanoseconds */
};

struct config {
	__u64 lease; /* the end of the time for which the process that links flows has promised to live */
	__u8 ttl, hop_limit;
	__u8 unused[6];
	__u8 ports[65536];
};

struct sample {
	__u32 tag, ssrc, length, is_rtcp;
};

/* What is read of a packet. */
struct packet {
	__u32 headers;	/* bytes of IP and UDP */
	__u32 payload;	/* bytes */
	__u32 front;	/* bytes of the frame in front of the data */
	__u32 data;	/* bytes of data */
	__u16 check;
	__u8 mark;
};

/* One for each processor. What stands here instead of on the stack, the verifier forgets: so it does not follow
 * each kind of packet through the whole program. */
struct work {
	struct key key;
	struct packet packet;
	__u8 front[64];
	__u8 before[16]; /* room for the head of a sample whose frame has no front */
	__u8 body[BODY + 64];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct key);
	__type(value, __u32);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
} config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32[4][256]);
} crc_table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct work);
} workspace SEC(".maps");

static __always_inline __u64 less(__u32 word)
{
	return (__u32)~word;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

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

/* Whether there is a right FINGERPRINT at `end` (RFC 8489 14.7). */
__noinline int is_fingerprint(struct work *work, __u32 end)
{
	__u32 zero = 0, crc = 0xffffffff, at;
	__u32(*table)[256];

	table = bpf_map_lookup_elem(&crc_table, &zero);
	if (!work || !table || word_at(work->body + (end & (BODY - 1))) != bpf_htonl(FINGERPRINT << 16 | 4))
		return 0;
	for (at = 0; at < MAX_PACKET; at += 4) {
		if (at >= end)
			break;
		crc ^= word_at(work->body + at);
		crc = table[3][crc & 0xff] ^ table[2][crc >> 8 & 0xff] ^ table[1][crc >> 16 & 0xff] ^ table[0][crc >> 24];
	}
	return word_at(work->body + ((end + 4) & (BODY - 1))) == bpf_htonl(~crc ^ FINGERPRINT_XOR);
}

/* As is_sealed in turn/wire/srtp.py. */
__noinline int is_sealed(struct work *work, __u32 start, __u32 size)
{
	const __u8 *data;
	__u32 end = start + size, at;
	int i;

	if (!work)
		return 0;
	data = work->body;
	if (size < 22 || !((data[(end - 14) & (BODY - 1)] | data[(end - 4) & (BODY - 1)]) & 0x80))
		return 0;
	at = start + 4 + 4 * half_at(data + ((start + 2) & (BODY - 1)));
	if (at + 14 > end)
		return 0;
	for (i = 0; i < MOST_IN_COMPOUND; i++) {
		if (at + 4 > end)
			return at != end;
		if ((data[at & (BODY - 1)] & 0xC0) != 0x80 || (data[(at + 1) & (BODY - 1)] & 0xE0) != 0xC0)
			return 1;
		at += 4 + 4 * half_at(data + ((at + 2) & (BODY - 1)));
	}
	return 0;
}

/* Where the packet's stream stands in `left`; -1 if it is none that may pass. */
__noinline int stream_of(struct slot *slot, struct work *work)
{
	const struct packet *packet;
	const __u8 *data;
	__u32 ssrc;
	int i;

	if (!slot || !work)
		return -1;
	packet = &work->packet;
	data = work->body + (packet->front & 63);
	if (packet->data < SHORTEST_RTP || (data[0] & 0xC0) != 0x80)
		return -1;
	if ((data[1] & 0xE0) == 0xC0) /* payload types 64 to 95 with a marker are RTCP's (RFC 5761 4) */
		return slot->rtcp && is_sealed(work, packet->front, packet->data) ? RTCP : -1;
	ssrc = word_at(data + 8);
	for (i = 0; i < STREAMS; i++)
		if (i < slot->streams && slot->stream[i] == ssrc)
			return i;
	return -1;
}

/* Adds what time has brought, and takes one packet of so many bits. Two processors at once may lose a draw. */
__noinline int spend(struct bucket *bucket, __u32 bits, __u64 now)
{
	__u64 elapsed;

	if (!bucket)
		return 0;
	if (bucket->packets_per_second)
		bucket->packets -= SECOND;
	if (bucket->bits_per_second)
		bucket->bits -= bits * SECOND;
	if (bucket->packets >= 0 && bucket->bits >= 0)
		return 1;
	elapsed = now - bucket->filled;
	bucket->filled = now;
	if (bucket->packets_per_second) {
		bucket->packets += elapsed < bucket->packets_full_after ? elapsed * bucket->packets_per_second
									 : bucket->most_packets;
		if (bucket->packets > (__s64)bucket->most_packets)
			bucket->packets = bucket->most_packets;
	}
	if (bucket->bits_per_second) {
		bucket->bits += elapsed < bucket->bits_full_after ? elapsed * bucket->bits_per_second : bucket->most_bits;
		if (bucket->bits > (__s64)bucket->most_bits)
			bucket->bits = bucket->most_bits;
	}
	if (bucket->packets >= 0 && bucket->bits >= 0)
		return 1;
	if (bucket->packets_per_second)
		bucket->packets += SECOND;
	if (bucket->bits_per_second)
		bucket->bits += bits * SECOND;
	return 0;
}

static __always_inline int count(struct slot *slot, const struct packet *packet, __u64 now)
{
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &slot->bucket);

	if (!spend(bucket, 8 * packet->data, now)) {
		__sync_fetch_and_add(&slot->dropped, 1);
		return 0;
	}
	__sync_fetch_and_add(&slot->packets, 1);
	__sync_fetch_and_add(&slot->bytes, packet->data);
	return 1;
}

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

/* The sum of the pseudo-header, without the ports, of a payload of so many bytes. */
static __always_inline __u64 pseudo(const __u32 *from, const __u32 *to, __u32 payload)
{
	__u64 sum = bpf_htons(IPPROTO_UDP) + (__u64)bpf_htons(payload + sizeof(struct udphdr));
	int i;

	for (i = 0; i < 4; i++)
		sum += (__u64)from[i] + to[i];
	return sum;
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
	__u32 size;
	__u64 sum;

	if (!work)
		return 1;
	key = &work->key;
	packet = &work->packet;
	size = ((packet->payload + 3) & ~3) & (BODY - 1);
	sum = pseudo(key->from, key->to, packet->payload);
	sum += key->from_port + (__u64)key->to_port + bpf_htons(packet->payload + sizeof(struct udphdr)) + packet->check;
	sum += (__u32)bpf_csum_diff(0, 0, (__be32 *)work->body, size, 0);
	return fold(sum) == 0xffff;
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

/* Shows user space a packet of some that were carried. If there is no room, the next one is shown instead. */
static __always_inline void show(struct work *work, struct slot *slot, const struct packet *packet, __u32 stream)
{
	struct sample *sample = (struct sample *)(work->body + (packet->front & 63) - sizeof(*sample));
	__u32 size = packet->data;

	barrier_var(stream); /* the verifier must see this very test */
	if (stream > RTCP) /* or none */
		return;
	if (slot->left[stream]) {
		slot->left[stream]--;
		return;
	}
	if (size > MAX_PACKET)
		return;
	sample->tag = slot->tag;
	sample->ssrc = word_at(work->body + (packet->front & 63) + 8);
	sample->length = size;
	sample->is_rtcp = stream == RTCP;
	if (!bpf_ringbuf_output(&samples, sample, sizeof(*sample) + size, 0))
		slot->left[stream] = 15 + (bpf_get_prandom_u32() & 7);
}

SEC("tc")
int relay(struct __sk_buff *skb)
{
	struct config *settings;
	struct packet *packet;
	struct slot *slot, *out;
	struct work *work;
	struct key *key;
	__u32 zero = 0, *index, mate, padding, payload;
	__u64 now, sum;
	__u16 check;
	__u8 port;
	int stream = -1;

	settings = bpf_map_lookup_elem(&config, &zero);
	work = bpf_map_lookup_elem(&workspace, &zero);
	if (!settings || !work)
		return TC_ACT_UNSPEC;
	key = &work->key;
	packet = &work->packet;
	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memset(packet, 0, sizeof(*packet));
	if (!read_headers(skb, key, packet))
		return TC_ACT_UNSPEC;
	port = settings->ports[bpf_ntohs(key->to_port)];
	if (!port || !load_payload(skb, work, packet))
		return TC_ACT_UNSPEC;

	packet->data = packet->payload;
	index = port & RELAYED ? bpf_map_lookup_elem(&flows, key) : 0;
	if (!index && port & LISTENER && packet->payload >= 4) {
		if ((work->body[0] & 0xC0) == 0x40 ? !read_channel(work, key, packet) : !read_send(work, key, packet))
			return TC_ACT_UNSPEC;
		index = bpf_map_lookup_elem(&flows, key);
	}
	slot = index ? bpf_map_lookup_elem(&slots, index) : 0;
	now = bpf_ktime_get_ns();
	if (!slot || now > settings->lease)
		return TC_ACT_UNSPEC;
	if (key->kind == INDICATION && packet->front + ((packet->data + 3) & ~3) < packet->payload &&
	    !is_fingerprint(work, packet->payload - 8))
		return TC_ACT_UNSPEC;
	if (!slot->anything) {
		stream = stream_of(slot, work);
		if (stream < 0)
			return TC_ACT_UNSPEC;
	}
	mate = slot->mate;
	out = mate ? bpf_map_lookup_elem(&slots, &mate) : slot;
	if (!out || out->family != key->family)
		return TC_ACT_UNSPEC;

	padding = make_front(work, out);
	payload = out->front_length + packet->data + padding;
	sum = pseudo(out->from, out->to, payload);
	if (packet->headers + payload > MAX_PACKET)
		return TC_ACT_UNSPEC;
	if (packet->check == fold(pseudo(key->from, key->to, packet->payload))) {
		if (is_ambiguous(work))
			return TC_ACT_UNSPEC;
		check = fold(sum);
	} else {
		sum += out->from_port + (__u64)out->to_port + bpf_htons(payload + sizeof(struct udphdr));
		sum += less(fold(pseudo(key->from, key->to, packet->payload)));
		sum += less(key->from_port) + less(key->to_port) + less(bpf_htons(packet->payload + sizeof(struct udphdr)));
		sum += (__u16)~packet->check + frame_change(work);
		check = ~fold(sum);
		if (!check)
			check = 0xffff;
	}

	if (!count(slot, packet, now) || (mate && !count(out, packet, now)))
		return TC_ACT_SHOT;
	if (bpf_skb_change_tail(skb, ETH_HLEN + packet->headers + payload, 0) ||
	    (key->family == V4 ? store_v4(skb, out, settings, packet->mark, payload, check)
			      : store_v6(skb, out, settings, packet->mark, payload, check)) ||
	    store_payload(skb, work, out, packet, padding))
		return TC_ACT_SHOT;
	show(work, slot, packet, stream);
	return send(skb, out);
}

char _license[] SEC("license") = "Dual MIT/GPL";
