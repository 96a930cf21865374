// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* What the program shares with user space, and with itself: structures, numbers and maps. */
#pragma once
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
