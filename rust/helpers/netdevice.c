// SPDX-License-Identifier: GPL-2.0

#include <linux/netdevice.h>

void tcpfo_helper_dev_put(struct net_device *dev)
{
	dev_put(dev);
}

const u8 *tcpfo_helper_dev_addr(const struct net_device *dev)
{
	return dev->dev_addr;
}

bool tcpfo_helper_dev_has_link(const struct net_device *dev)
{
	return netif_running(dev) && netif_carrier_ok(dev);
}

int tcpfo_helper_dev_ifindex(const struct net_device *dev)
{
	return dev->ifindex;
}
