/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Types that the C helpers and their Rust callers share.
 */
#ifndef TCPFO_H
#define TCPFO_H

#include <linux/rhashtable-types.h>
#include <linux/types.h>

#define TCPFO_KEY_LEN 36

/**
 * struct tcpfo_node - what stands in front of each value in a hash table
 * @head: links the node into its bucket
 * @rcu: frees the node when no reader can see it any more
 * @stacked: links the node into a stack
 * @key: the name under which it is found
 */
struct tcpfo_node {
	struct rhash_head head;
	struct rcu_head rcu;
	struct llist_node stacked;
	u8 key[TCPFO_KEY_LEN];
};

/**
 * struct tcpfo_request - what a connection request and its SYN-ACK have negotiated
 * @iss: initial sequence number of this side
 * @irs: initial sequence number of the client
 * @window: the window offered, in bytes
 * @ts_off: what is added to the clock to make a timestamp
 * @tsval: the timestamp of the last SYN-ACK
 * @client_tsval: the timestamp of the SYN
 * @client_mss: the client's maximum segment size
 * @client_wscale: the client's window scale
 * @wscale: this side's window scale
 * @wscale_ok: window scales were negotiated
 * @tstamp_ok: timestamps were negotiated
 * @sack_ok: selective acknowledgements were negotiated
 * @ecn_ok: ECN was negotiated
 * @usec_ts: timestamps of this side tick in microseconds
 * @special: MPTCP, TCP-AO or accurate ECN: more than these fields can tell
 */
struct tcpfo_request {
	u32 iss;
	u32 irs;
	u32 window;
	u32 ts_off;
	u32 tsval;
	u32 client_tsval;
	u16 client_mss;
	u8 client_wscale;
	u8 wscale;
	bool wscale_ok;
	bool tstamp_ok;
	bool sack_ok;
	bool ecn_ok;
	bool usec_ts;
	bool special;
};

/**
 * struct tcpfo_quiet - where a connection on which nothing is under way stands
 * @snd_nxt: the sequence number of the next byte to be sent
 * @window: the window that the client offers, in bytes
 */
struct tcpfo_quiet {
	u32 snd_nxt;
	u32 window;
};

#endif /* TCPFO_H */
