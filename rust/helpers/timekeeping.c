// SPDX-License-Identifier: GPL-2.0

#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/timekeeping.h>

u64 tcpfo_helper_ktime_us(void)
{
	return ktime_to_us(ktime_get());
}

u64 tcpfo_helper_ktime_boot_us(void)
{
	return ktime_to_us(ktime_get_boottime());
}

u64 tcpfo_helper_get_jiffies(void)
{
	return jiffies;
}
