// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* The least that anybody can do with a UDP packet: it goes back to its sender at once (XDP), unlooked at. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SWAP(one, other)                  \
	do {                              \
		__typeof__(one) kept = one; \
		one = other;              \
		other = kept;             \
	} while (0)

struct packet {
	struct ethhdr link;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

SEC("xdp")
int bounce(struct xdp_md *frame)
{
	struct packet *packet = (void *)(long)frame->data;
	__u8 address[ETH_ALEN];

	if ((void *)(packet + 1) > (void *)(long)frame->data_end || packet->link.h_proto != bpf_htons(ETH_P_IP) ||
	    packet->ip.protocol != IPPROTO_UDP)
		return XDP_PASS;
	__builtin_memcpy(address, packet->link.h_source, ETH_ALEN);
	__builtin_memcpy(packet->link.h_source, packet->link.h_dest, ETH_ALEN);
	__builtin_memcpy(packet->link.h_dest, address, ETH_ALEN);
	SWAP(packet->ip.saddr, packet->ip.daddr);
	SWAP(packet->udp.source, packet->udp.dest);
	return XDP_TX;
}

/* For the other end: veth hands on what was sent back only where there is a program, too. */
SEC("xdp")
int pass(struct xdp_md *frame)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
