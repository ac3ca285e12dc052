// SPDX-License-Identifier: GPL-2.0
/*
 * For test builds only: see rust/test_points.rs.
 */
#ifdef TCPFO_TEST

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <net/gso.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>

u32 tcpfo_helper_skb_segments(const struct sk_buff *skb)
{
	return skb_is_gso(skb) ? skb_shinfo(skb)->gso_segs : 1;
}

/**
 * tcpfo_helper_skb_keep_segments - cut an aggregate short
 * @skb: a TCP aggregate on its way out, from its IP header on, which is writable up to its payload
 * @tcp_offset: where TCP begins
 * @segments: how many of its segments are to be left, less than it has
 */
int tcpfo_helper_skb_keep_segments(struct sk_buff *skb, int tcp_offset, u32 segments)
{
	unsigned int header = ((struct tcphdr *)(skb->data + tcp_offset))->doff * 4;
	unsigned int len = header + segments * skb_shinfo(skb)->gso_size;
	struct tcphdr *th;
	int err;

	err = pskb_trim(skb, tcp_offset + len);
	if (err)
		return err;
	th = (struct tcphdr *)(skb->data + tcp_offset);
	/* They belong to the last segment. */
	th->fin = 0;
	th->psh = 0;
	/* The sum of the pseudo-header, as aggregates have it. */
	if (ip_hdr(skb)->version == 4) {
		ip_hdr(skb)->tot_len = htons(skb->len);
		ip_send_check(ip_hdr(skb));
		th->check = ~tcp_v4_check(len, ip_hdr(skb)->saddr, ip_hdr(skb)->daddr, 0);
	} else {
		ipv6_hdr(skb)->payload_len = htons(skb->len - sizeof(struct ipv6hdr));
		th->check = ~tcp_v6_check(len, &ipv6_hdr(skb)->saddr, &ipv6_hdr(skb)->daddr, 0);
	}
	skb_shinfo(skb)->gso_segs = segments;
	if (segments == 1)
		skb_gso_reset(skb);
	return 0;
}

#endif /* TCPFO_TEST */
