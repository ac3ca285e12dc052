// SPDX-License-Identifier: GPL-2.0

#include <linux/kthread.h>

/* kthread_create() is a variadic macro: the name must not be taken for a format. */
struct task_struct *tcpfo_helper_kthread_create(int (*threadfn)(void *data), void *data,
						const char *name)
{
	return kthread_create(threadfn, data, "%s", name);
}
