// SPDX-License-Identifier: GPL-2.0

#include <linux/ratelimit.h>

bool tcpfo_helper_may_print(void)
{
	static DEFINE_RATELIMIT_STATE(state, DEFAULT_RATELIMIT_INTERVAL, 20);

	return __ratelimit(&state);
}
