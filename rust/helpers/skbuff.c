// SPDX-License-Identifier: GPL-2.0

#include <linux/skbuff.h>
#include <net/dst.h>

struct sk_buff *tcpfo_helper_alloc_skb_atomic(unsigned int size)
{
	return alloc_skb(size, GFP_ATOMIC | __GFP_NOWARN);
}

void tcpfo_helper_kfree_skb(struct sk_buff *skb)
{
	kfree_skb(skb);
}

bool tcpfo_helper_pskb_may_pull(struct sk_buff *skb, unsigned int len)
{
	return pskb_may_pull(skb, len);
}

unsigned int tcpfo_helper_skb_headlen(const struct sk_buff *skb)
{
	return skb_headlen(skb);
}

int tcpfo_helper_skb_network_offset(const struct sk_buff *skb)
{
	return skb_network_offset(skb);
}

bool tcpfo_helper_skb_dst_force(struct sk_buff *skb)
{
	return skb_dst_force(skb);
}

int tcpfo_helper_dst_output(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	return dst_output(net, sk, skb);
}

/**
 * tcpfo_helper_skb_received - make a packet look as if a device had just received it
 * @skb: the packet, from its IP header on
 * @dev: the device
 * @tcp_offset: where TCP begins
 * @protocol: ETH_P_*, in network byte order
 * @priority: what skb->priority is to be
 * @segment: the payload of each segment that the packet stands for, as if they had been merged by
 *	     GRO; 0 if it is one segment
 */
void tcpfo_helper_skb_received(struct sk_buff *skb, struct net_device *dev, int tcp_offset,
			       __be16 protocol, u32 priority, u16 segment)
{
	skb_reset_mac_header(skb);
	skb_reset_mac_len(skb);
	skb_reset_network_header(skb);
	skb_set_transport_header(skb, tcp_offset);
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	skb->protocol = protocol;
	skb->pkt_type = PACKET_HOST;
	skb->priority = priority;
	skb->dev = dev;
	if (segment) {
		skb_shinfo(skb)->gso_size = segment;
		skb_shinfo(skb)->gso_segs = DIV_ROUND_UP(skb->len, segment);
		skb_shinfo(skb)->gso_type = protocol == htons(ETH_P_IPV6) ?
					    SKB_GSO_TCPV6 : SKB_GSO_TCPV4;
	}
}

int tcpfo_helper_skb_ifindex(const struct sk_buff *skb)
{
	return skb->dev ? skb->dev->ifindex : 0;
}

struct sock *tcpfo_helper_skb_sk(const struct sk_buff *skb)
{
	return skb->sk;
}

u32 tcpfo_helper_skb_priority(const struct sk_buff *skb)
{
	return skb->priority;
}

unsigned int tcpfo_helper_skb_len(const struct sk_buff *skb)
{
	return skb->len;
}
