// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Answers Binding requests, and drops what strangers ask beyond their limits: as turn/core does. */
#pragma once
#include "allow.h"
#include "write.h"

#define WHOLE 1 /* how a checksum came */
#define UNFINISHED 2

#define BINDING 1 /* what is asked for */
#define MARKED_BINDING 2
#define OTHER 3 /* the core has the answer */

#define ALLOWED 0 /* whether it may be answered */
#define UNKNOWN 1

/* The packet's checksum is right, or left to a network card; 0: it is wrong, or nobody can say. */
__noinline int checksum_of(struct work *work)
{
	const struct packet *packet;
	const struct slot *reply;
	__u32 at, is_unfinished;
	__u64 sum;

	if (!work)
		return 0;
	packet = &work->packet;
	reply = &work->reply;
	sum = pseudo(reply->from, reply->to, packet->payload);
	is_unfinished = packet->check == fold(sum);
	sum += reply->from_port + (__u64)reply->to_port + bpf_htons(packet->payload + sizeof(struct udphdr));
	sum += packet->check;
	for (at = 0; at < MAX_PACKET; at += 4) {
		if (at >= packet->payload)
			break;
		sum += word_at(work->body + at);
	}
	if ((fold(sum) == 0xffff) == is_unfinished)
		return 0;
	return is_unfinished ? UNFINISHED : WHOLE;
}

/* What a request without signature and nonce asks for, where the core would count it; 0: not known here. */
__noinline int read_request(struct work *work)
{
	__u32 size, at = STUN_HEADER, next, head, attribute, length, type;
	__u8 is_marked = 0, is_named = 0, transports = 0, is_transport = 0;
	const __u8 *body;
	int i;

	if (!work)
		return 0;
	body = work->body;
	size = work->packet.payload;
	type = half_at(body);
	if (size < STUN_HEADER || size & 3 || half_at(body + 2) != size - STUN_HEADER ||
	    word_at(body + 4) != bpf_htonl(COOKIE))
		return 0;
	if (type != BINDING_REQUEST && type != ALLOCATE_REQUEST && type != REFRESH_REQUEST &&
	    type != CREATE_PERMISSION_REQUEST && type != CHANNEL_BIND_REQUEST)
		return 0;
	for (i = 0; i < MOST_ATTRIBUTES; i++) {
		if (at >= size)
			break;
		head = bpf_ntohl(word_at(body + (at & (BODY - 1))));
		attribute = head >> 16;
		length = head & 0xffff;
		next = at + 4 + ((length + 3) & ~3);
		if (next > size || attribute == NONCE || attribute == MESSAGE_INTEGRITY ||
		    attribute == MESSAGE_INTEGRITY_SHA256 || (type == BINDING_REQUEST && attribute < REQUIRED_BELOW))
			return 0;
		if (attribute == FINGERPRINT) {
			if (length != 4 || next != size || !is_fingerprint(work, at))
				return 0;
			is_marked = 1;
		}
		if (attribute == USERNAME || attribute == USERHASH)
			is_named = 1;
		if (attribute == REQUESTED_TRANSPORT && !transports) { /* only the first one counts */
			head = word_at(body + ((at + 4) & (BODY - 1)));
			is_transport = length == 4 && (head == bpf_htonl(IPPROTO_UDP << 24) || head == bpf_htonl(IPPROTO_TCP << 24));
			transports = 1;
		}
		at = next;
	}
	if (at < size)
		return 0;
	if (type == BINDING_REQUEST)
		return is_marked ? MARKED_BINDING : BINDING;
	if (size < SMALLEST_ANSWERED + (is_marked ? 8 : 0))
		return 0;
	return type != ALLOCATE_REQUEST || is_named || is_transport ? OTHER : 0;
}

/* Whether a client can be there, as NO_CLIENT and REFLECTORS in turn/core/state.py. */
__noinline int may_be_client(struct work *work)
{
	const struct slot *reply;
	__u32 first;

	if (!work)
		return 0;
	reply = &work->reply;
	first = bpf_ntohl(reply->to[0]);
	if (reply->family == V4 ? !(first >> 24) || first >> 28 == 14 || first == 0xffffffff
				: first >> 24 == 0xff || !(reply->to[0] | reply->to[1] | reply->to[2] | reply->to[3]))
		return 0;
	switch (bpf_ntohs(reply->to_port)) {
	case 0:
	case 7:
	case 17:
	case 19:
	case 53:
	case 69:
	case 111:
	case 123:
	case 137:
	case 161:
	case 177:
	case 389:
	case 427:
	case 520:
	case 623:
	case 1434:
	case 1900:
	case 3283:
	case 3702:
	case 5093:
	case 5353:
	case 5683:
	case 10001:
	case 11211:
	case 17185:
	case 27015:
	case 27960:
		return 0;
	}
	return 1;
}

/* Whether no limit of an address holds. */
__noinline int is_trusted(struct work *work)
{
	const struct config *settings;
	const struct network *network;
	__u32 zero = 0, differs;
	int i, j;

	settings = bpf_map_lookup_elem(&config, &zero);
	if (!work || !settings)
		return 0;
	for (i = 0; i < TRUSTED; i++) {
		if (i >= settings->strangers.trusted)
			break;
		network = &settings->strangers.networks[i];
		differs = network->family ^ work->reply.family;
		for (j = 0; j < 4; j++)
			differs |= (work->reply.to[j] & network->mask[j]) ^ network->address[j];
		if (!differs)
			return 1;
	}
	return 0;
}

/* Until when a network has used what is its own; 0: there is no room to say so. */
static __always_inline __u64 *used_by(__u32 first, __u32 second, __u32 bits)
{
	struct network_key key = {{first, second}, bits};
	__u64 *until = bpf_map_lookup_elem(&used, &key), never = 0;

	if (until)
		return until;
	bpf_map_update_elem(&used, &key, &never, BPF_NOEXIST);
	return bpf_map_lookup_elem(&used, &key);
}

/* The same when one more was answered; 0: that would be too much. */
static __always_inline __u64 after_one_more(__u64 until, __u64 now, __u64 cost, __u64 most)
{
	if (until < now)
		until = now;
	return until - now + cost > most ? 0 : until + cost;
}

/* Whether a stranger may be answered, and that it was: as AddressRates and may_answer of the core. */
__noinline int spend_answer(struct work *work, __u64 now)
{
	__u64 cost, most, next, next_wide = 0, *one, *wide = 0;
	struct strangers *strangers;
	struct config *settings;
	__u32 zero = 0;

	settings = bpf_map_lookup_elem(&config, &zero);
	if (!work || !settings)
		return UNKNOWN;
	strangers = &settings->strangers;
	cost = strangers->cost;
	most = strangers->most;
	if (cost) {
		if (work->reply.family == V4) {
			one = used_by(work->reply.to[0], 0, 32);
		} else {
			one = used_by(work->reply.to[0], work->reply.to[1], HOUSEHOLD_BITS);
			wide = used_by(work->reply.to[0], work->reply.to[1] & bpf_htonl(0xffff0000), SITE_BITS);
			if (!wide)
				return UNKNOWN;
			next_wide = after_one_more(*wide, now, cost / SITE_FACTOR, most);
		}
		if (!one)
			return UNKNOWN;
		next = after_one_more(*one, now, cost, most);
		if (!next || (wide && !next_wide)) {
			__sync_fetch_and_add(&strangers->refused, 1);
			return TC_ACT_SHOT;
		}
		*one = next;
		if (wide)
			*wide = next_wide;
	}
	if (strangers->cost_in_all) {
		next = after_one_more(strangers->used_in_all, now, strangers->cost_in_all, strangers->most_in_all);
		if (!next) {
			__sync_fetch_and_add(&strangers->refused_in_all, 1);
			return TC_ACT_SHOT;
		}
		strangers->used_in_all = next;
	}
	return ALLOWED;
}

/* Makes the answer of a request in its place, where cookie and transaction stay; returns its length. */
__noinline int make_answer(struct work *work, int is_marked)
{
	const struct slot *reply;
	__u32 size, i;
	__u8 *body;

	if (!work)
		return 0;
	body = work->body;
	reply = &work->reply;
	size = STUN_HEADER + (reply->family == V4 ? 12 : 24);
	*(__u16 *)body = bpf_htons(BINDING_SUCCESS);
	*(__u16 *)(body + 2) = bpf_htons(size - STUN_HEADER + (is_marked ? 8 : 0));
	*(__u16 *)(body + 20) = bpf_htons(XOR_MAPPED_ADDRESS);
	*(__u16 *)(body + 22) = bpf_htons(size - STUN_HEADER - 4);
	*(__u16 *)(body + 24) = bpf_htons(reply->family == V4 ? 1 : 2);
	*(__u16 *)(body + 26) = reply->to_port ^ *(__u16 *)(body + 4);
	for (i = 0; i < 4; i++)
		if (!i || reply->family == V6)
			*(__u32 *)(body + 28 + 4 * i) = reply->to[i] ^ word_at(body + 4 + 4 * i);
	if (!is_marked)
		return size;
	size &= 63;
	*(__u32 *)(body + size) = bpf_htonl(FINGERPRINT << 16 | 4);
	*(__u32 *)(body + size + 4) = bpf_htonl(~crc_of(work, size) ^ FINGERPRINT_XOR);
	return size + 8;
}

/* The checksum of the answer, unfinished if the request's was. */
__noinline __u32 answer_checksum(struct work *work, __u32 size, int form)
{
	const struct slot *reply;
	__u32 at;
	__u64 sum;

	if (!work)
		return 0;
	reply = &work->reply;
	sum = pseudo(reply->from, reply->to, size);
	if (form == UNFINISHED)
		return fold(sum);
	sum += reply->from_port + (__u64)reply->to_port + bpf_htons(size + sizeof(struct udphdr));
	for (at = 0; at < LARGEST_ANSWER; at += 4) {
		if (at >= size)
			break;
		sum += word_at(work->body + at);
	}
	return (__u16)~fold(sum) ?: 0xffff;
}

/* An answer leaves by the way that the request came: the machine that sent it on knows where to. */
static __always_inline int turn_round(struct __sk_buff *skb)
{
	__u8 there[ETH_ALEN], here[ETH_ALEN];

	return bpf_skb_load_bytes(skb, 0, here, ETH_ALEN) || bpf_skb_load_bytes(skb, ETH_ALEN, there, ETH_ALEN) ||
	       bpf_skb_store_bytes(skb, 0, there, ETH_ALEN, 0) || bpf_skb_store_bytes(skb, ETH_ALEN, here, ETH_ALEN, 0);
}

/* Writes down who would answer whom. False: not at a listener that strangers are answered at. */
static __always_inline int find_listener(struct work *work)
{
	struct slot *reply = &work->reply;
	struct key *key = &work->key;
	int i;

	for (i = 0; i < 4; i++) {
		reply->from[i] = key->to[i];
		reply->to[i] = key->from[i];
		key->from[i] = 0;
	}
	reply->from_port = key->to_port;
	reply->to_port = key->from_port;
	reply->family = key->family;
	key->from_port = 0;
	key->kind = SERVED;
	if (bpf_map_lookup_elem(&flows, key))
		return 1;
	for (i = 0; i < 4; i++)
		key->to[i] = 0; /* one that listens at all addresses */
	return !!bpf_map_lookup_elem(&flows, key);
}

/* A packet to a listener that no flow has. */
static __always_inline int answer_stranger(struct __sk_buff *skb, struct work *work, struct config *settings, __u64 now)
{
	struct slot *reply = &work->reply;
	int asked, form, verdict;
	__u32 size, last;
	__u16 check;

	asked = read_request(work);
	if (!asked || !find_listener(work) || !own_kind(reply->from, reply->family) ||
	    own_kind(reply->to, reply->family))
		return TC_ACT_UNSPEC;
	form = checksum_of(work);
	if (!form)
		return TC_ACT_UNSPEC;
	if (!may_be_client(work)) {
		__sync_fetch_and_add(&settings->strangers.no_client, 1);
		return TC_ACT_SHOT;
	}
	if (!is_trusted(work)) {
		verdict = spend_answer(work, now);
		if (verdict != ALLOWED)
			return verdict == TC_ACT_SHOT ? TC_ACT_SHOT : TC_ACT_UNSPEC;
	}
	if (asked == OTHER)
		return TC_ACT_UNSPEC;
	size = make_answer(work, asked == MARKED_BINDING);
	check = answer_checksum(work, size, form);
	if (bpf_skb_change_tail(skb, ETH_HLEN + work->packet.headers + size, 0))
		return TC_ACT_UNSPEC;
	last = (size - 1) & 63;
	if ((reply->family == V4 ? store_v4(skb, reply, settings, 0, size, check)
				 : store_v6(skb, reply, settings, 0, size, check)) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + work->packet.headers, work->body, last + 1, BPF_F_RECOMPUTE_CSUM) ||
	    turn_round(skb))
		return TC_ACT_SHOT;
	__sync_fetch_and_add(&settings->strangers.answered, 1);
	bpf_set_hash_invalid(skb);
	return bpf_redirect(skb->ifindex, 0);
}
