// SPDX-License-Identifier: GPL-2.0

#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/wait.h>

void tcpfo_helper_wake_up(struct wait_queue_head *queue)
{
	wake_up(queue);
}

/* For kernel threads only. Jiffies would be too coarse. */
void tcpfo_helper_wait_us(struct wait_queue_head *queue, const u32 *raised, u64 us)
{
	wait_event_interruptible_hrtimeout(*queue, READ_ONCE(*raised) || kthread_should_stop(),
					   us_to_ktime(us));
}
