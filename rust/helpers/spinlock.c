// SPDX-License-Identifier: GPL-2.0

#include <linux/spinlock.h>

void tcpfo_helper_spin_lock_bh(spinlock_t *lock)
{
	spin_lock_bh(lock);
}

bool tcpfo_helper_spin_trylock_bh(spinlock_t *lock)
{
	return spin_trylock_bh(lock);
}

void tcpfo_helper_spin_unlock_bh(spinlock_t *lock)
{
	spin_unlock_bh(lock);
}

void tcpfo_helper_local_bh_disable(void)
{
	local_bh_disable();
}

void tcpfo_helper_local_bh_enable(void)
{
	local_bh_enable();
}
