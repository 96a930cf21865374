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

#define MAX_SUMMED 512	/* bytes that older kernels sum up at once */

#define FROM_PEER 0
#define CHANNEL 1
#define INDICATION 2
#define SERVED 3 /* none of a flow: a listener where strangers are answered */

#define LISTENER 1 /* what is at a port */
#define RELAYED 2

#define STREAMS 8     /* that one direction of a flow names; a call of voice has one */
#define RTCP STREAMS  /* stands for SRTCP in `left` */
#define SHORTEST_RTP 16
#define LEAST_BETWEEN 18 /* packets of a stream between two that the core sees, as in turn/wire/srtp.py */
#define SPREAD 8
#define MOST_IN_COMPOUND 16

#define SEND_INDICATION 0x0016
#define DATA_INDICATION 0x0017
#define STUN_HEADER 20
#define COOKIE 0x2112A442
#define XOR_PEER_ADDRESS 0x0012
#define DATA 0x0013
#define FINGERPRINT 0x8028
#define FINGERPRINT_XOR 0x5354554E

#define BINDING_REQUEST 0x0001 /* the same for who is not known yet */
#define ALLOCATE_REQUEST 0x0003
#define REFRESH_REQUEST 0x0004
#define CREATE_PERMISSION_REQUEST 0x0008
#define CHANNEL_BIND_REQUEST 0x0009
#define BINDING_SUCCESS 0x0101
#define USERNAME 0x0006
#define MESSAGE_INTEGRITY 0x0008
#define NONCE 0x0015
#define REQUESTED_TRANSPORT 0x0019
#define MESSAGE_INTEGRITY_SHA256 0x001C
#define USERHASH 0x001E
#define XOR_MAPPED_ADDRESS 0x0020
#define REQUIRED_BELOW 0x8000
#define SMALLEST_ANSWERED 28
#define LARGEST_ANSWER 52
#define MOST_ATTRIBUTES 8 /* of a request; what has more goes up */

#define TRUSTED 16	/* networks without limits by address */
#define NETWORKS 16384	/* whose use is remembered: the latest */
#define HOUSEHOLD_BITS 64 /* of IPv6, as in turn/limits/addresses.py */
#define SITE_BITS 48
#define SITE_FACTOR 2

#define OWN_ADDRESSES 1024
#define LOOPBACK 2 /* the kind of an own address that packets may go to, from another such one */

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

struct network {
	__u32 address[4], mask[4];
	__u32 family;
};

/* Strangers' limits, as times: an answer costs some, which comes back as time goes by; and what was counted. */
struct strangers {
	__u64 cost, most; /* nanoseconds, for each network, and the most that it may have used; 0: no limit */
	__u64 cost_in_all, most_in_all;
	__u64 used_in_all; /* until when */
	__u64 answered, refused, refused_in_all, no_client;
	__u32 trusted, unused;
	struct network networks[TRUSTED];
};

struct config {
	__u64 lease; /* the end of the time for which the process that links flows has promised to live */
	__u8 ttl, hop_limit;
	__u8 unused[6];
	__u8 ports[65536];
	struct strangers strangers;
};

/* A network of so many bits, as it stands in a packet. */
struct network_key {
	__u32 network[2];
	__u32 bits;
};

/* An address of this machine; the value says which kind it is of. */
struct own_key {
	__u32 address[4];
	__u32 family;
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
	struct slot reply; /* to a stranger: who answers whom */
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
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OWN_ADDRESSES);
	__type(key, struct own_key);
	__type(value, __u32);
} own SEC(".maps");

/* Until when each network has used what strangers may have. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NETWORKS);
	__type(key, struct network_key);
	__type(value, __u64);
} used SEC(".maps");

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
