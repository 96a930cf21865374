// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Carries the packets of linked flows at the entrance of an interface (tc), before any socket sees them.
 *
 * This is a cache of turn/engines/table.py: what it does not know, or cannot do, goes up to the sockets of the
 * portable engine, where the same flow is linked. So each odd case is one line here: up. What strangers ask most
 * is answered, too, as turn/core does (strangers.h).
 *
 * Headers stay where they are and the payload moves. So the place of an unfinished checksum, which belongs to
 * the packet (CHECKSUM_PARTIAL), stays right on loopback and between containers and virtual machines.
 *
 * User space (turn/engines/kernel/layout.py) writes all maps; structures and numbers must be the same there.
 */
#include "strangers.h"

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
		slot->left[stream] = LEAST_BETWEEN + bpf_get_prandom_u32() % SPREAD;
}

/* The slot whose packet this is; 0: nobody's, or its frame is not media alone. */
static __always_inline struct slot *find_slot(struct work *work, __u8 port)
{
	struct packet *packet = &work->packet;
	struct key *key = &work->key;
	__u32 *index = 0;

	packet->data = packet->payload;
	if (port & RELAYED)
		index = bpf_map_lookup_elem(&flows, key);
	if (!index && port & LISTENER && packet->payload >= 4) {
		if ((work->body[0] & 0xC0) == 0x40 ? !read_channel(work, key, packet) : !read_send(work, key, packet))
			return 0;
		index = bpf_map_lookup_elem(&flows, key);
	}
	if (!index || (key->kind == INDICATION && has_fingerprint(packet) && !is_fingerprint(work, packet->payload - 8)))
		return 0;
	return bpf_map_lookup_elem(&slots, index);
}

SEC("tc")
int relay(struct __sk_buff *skb)
{
	__u32 zero = 0, number, mate, padding, payload;
	struct config *settings;
	struct packet *packet;
	struct slot *slot, *out;
	struct work *work;
	__u64 now;
	__u16 check;
	__u8 port;
	int stream = -1;

	settings = bpf_map_lookup_elem(&config, &zero);
	work = bpf_map_lookup_elem(&workspace, &zero);
	if (!settings || !work)
		return TC_ACT_UNSPEC;
	packet = &work->packet;
	__builtin_memset(&work->key, 0, sizeof(work->key));
	__builtin_memset(packet, 0, sizeof(*packet));
	if (!read_headers(skb, &work->key, packet))
		return TC_ACT_UNSPEC;
	number = bpf_ntohs(work->key.to_port);
	barrier_var(number); /* Linux 6.1 does not know how large it is, without this very mask */
	port = settings->ports[number & 0xffff];
	if (!port || !load_payload(skb, work, packet))
		return TC_ACT_UNSPEC;

	slot = find_slot(work, port);
	now = bpf_ktime_get_ns();
	if (now > settings->lease)
		return TC_ACT_UNSPEC;
	if (!slot)
		return port & LISTENER ? answer_stranger(skb, work, settings, now) : TC_ACT_UNSPEC;
	if (!slot->anything) {
		stream = stream_of(slot, work);
		if (stream < 0)
			return TC_ACT_UNSPEC;
	}
	mate = slot->mate;
	out = mate ? bpf_map_lookup_elem(&slots, &mate) : slot;
	if (!out || out->family != work->key.family || !may_leave(out))
		return TC_ACT_UNSPEC;

	padding = make_front(work, out);
	payload = out->front_length + packet->data + padding;
	if (packet->headers + payload > MAX_PACKET)
		return TC_ACT_UNSPEC;
	check = new_checksum(work, out, payload);
	if (!check)
		return TC_ACT_UNSPEC;

	if (!count(slot, packet, now) || (mate && !count(out, packet, now)))
		return TC_ACT_SHOT;
	if (bpf_skb_change_tail(skb, ETH_HLEN + packet->headers + payload, 0) ||
	    (out->family == V4 ? store_v4(skb, out, settings, packet->mark, payload, check)
			       : store_v6(skb, out, settings, packet->mark, payload, check)) ||
	    store_payload(skb, work, out, packet, padding))
		return TC_ACT_SHOT;
	show(work, slot, packet, stream);
	return send(skb, out);
}

char _license[] SEC("license") = "Dual MIT/GPL";
