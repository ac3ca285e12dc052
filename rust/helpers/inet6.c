// SPDX-License-Identifier: GPL-2.0

#include <net/addrconf.h>
#include <net/inet6_hashtables.h>
#include <net/ipv6.h>
#include <net/ndisc.h>

#if IS_ENABLED(CONFIG_IPV6)
/**
 * tcpfo_helper_inet6_lookup - find a socket, a request, or what is left of a socket
 * @net: the namespace
 * @remote: the other host's address, 16 bytes
 * @remote_port: its port, in network byte order
 * @local: this host's address, 16 bytes
 * @local_port: its port, in host byte order
 * @ifindex: the device
 *
 * Context: under the RCU read lock.
 *
 * Return: it, with a reference, or NULL
 */
struct sock *tcpfo_helper_inet6_lookup(const struct net *net, const u8 *remote, __be16 remote_port,
				       const u8 *local, u16 local_port, int ifindex)
{
	struct in6_addr saddr, daddr;

	memcpy(&saddr, remote, sizeof(saddr));
	memcpy(&daddr, local, sizeof(daddr));
	return __inet6_lookup_established(net, &saddr, remote_port, &daddr, local_port, ifindex, 0);
}

/**
 * tcpfo_helper_ndisc_probe - ask who has an address, without saying who asks (RFC 4862, 5.4.2)
 * @dev: where to ask
 * @target: the address, 16 bytes
 * @priority: what skb->priority of the question is to be
 */
void tcpfo_helper_ndisc_probe(struct net_device *dev, const u8 *target, u32 priority)
{
	struct in6_addr addr, solicited;
	struct sk_buff *skb;

	memcpy(&addr, target, sizeof(addr));
	addrconf_addr_solict_mult(&addr, &solicited);
	skb = ndisc_ns_create(dev, &addr, &in6addr_any, 0);
	if (!skb)
		return;
	skb->priority = priority;
	ndisc_send_skb(skb, &solicited, &in6addr_any);
}

/**
 * tcpfo_helper_ndisc_announce - tell everybody that an address is here (RFC 4861, 7.2.6)
 * @dev: where
 * @target: the address, 16 bytes
 *
 * Context: under the RCU read lock.
 */
void tcpfo_helper_ndisc_announce(struct net_device *dev, const u8 *target)
{
	const struct inet6_dev *idev = __in6_dev_get(dev);
	struct in6_addr addr;

	memcpy(&addr, target, sizeof(addr));
	ndisc_send_na(dev, &in6addr_linklocal_allnodes, &addr,
		      idev && READ_ONCE(idev->cnf.forwarding), false, true, true);
}
#else
struct sock *tcpfo_helper_inet6_lookup(const struct net *net, const u8 *remote, __be16 remote_port,
				       const u8 *local, u16 local_port, int ifindex)
{
	return NULL;
}

void tcpfo_helper_ndisc_probe(struct net_device *dev, const u8 *target, u32 priority)
{
}

void tcpfo_helper_ndisc_announce(struct net_device *dev, const u8 *target)
{
}
#endif
