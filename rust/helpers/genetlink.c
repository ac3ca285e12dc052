// SPDX-License-Identifier: GPL-2.0

#include <net/genetlink.h>

int tcpfo_helper_genlmsg_multicast_netns(const struct genl_family *family,
					 struct net *net, struct sk_buff *skb,
					 unsigned int group, gfp_t flags)
{
	return genlmsg_multicast_netns(family, net, skb, 0, group, flags);
}
