// SPDX-License-Identifier: GPL-2.0

#include <net/net_namespace.h>
#include <net/netns/generic.h>

void *tcpfo_helper_net_generic(const struct net *net, unsigned int id)
{
	return net_generic(net, id);
}

const struct ns_common *tcpfo_helper_to_ns_common(struct net *net)
{
	return to_ns_common(net);
}
