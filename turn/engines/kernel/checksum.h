// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Sums over 16 bits (RFC 1071), in 64 bits and folded at the end; a word that goes is added turned. */
#pragma once
#include "maps.h"

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

/* The sum of the pseudo-header, without the ports, of a payload of so many bytes. */
static __always_inline __u64 pseudo(const __u32 *from, const __u32 *to, __u32 payload)
{
	__u64 sum = bpf_htons(IPPROTO_UDP) + (__u64)bpf_htons(payload + sizeof(struct udphdr));
	int i;

	for (i = 0; i < 4; i++)
		sum += (__u64)from[i] + to[i];
	return sum;
}
