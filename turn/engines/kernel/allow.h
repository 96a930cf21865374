// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* What may pass: the streams of a rule, and what is left of the limits. */
#pragma once
#include "read.h"

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

/* What kind of own address this is; 0: none. */
static __always_inline __u32 own_kind(const __u32 *address, __u8 family)
{
	struct own_key key = {{address[0], address[1], address[2], address[3]}, family};
	__u32 *kind = bpf_map_lookup_elem(&own, &key);

	return kind ? *kind : 0;
}

/* Whether packets go out under an address of ours, and to another machine. Whoever writes slots cannot change it. */
__noinline int may_leave(struct slot *slot)
{
	__u32 from, to;

	if (!slot)
		return 0;
	from = own_kind(slot->from, slot->family);
	to = own_kind(slot->to, slot->family);
	return from && (!to || (to == LOOPBACK && from == LOOPBACK));
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
