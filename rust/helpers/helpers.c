// SPDX-License-Identifier: GPL-2.0
/*
 * Inline C functions and non-trivial macros that Rust cannot call.
 *
 * Sorted alphabetically.
 */
#include <linux/compiler_types.h>

#include "tcpfo.h"

#include "genetlink.c"
#include "inet6.c"
#include "kthread.c"
#include "llist.c"
#include "net_namespace.c"
#include "netdevice.c"
#include "ratelimit.c"
#include "request_sock.c"
#include "rhashtable.c"
#include "skbuff.c"
#include "sock.c"
#include "spinlock.c"
#include "sysfs.c"
#include "test.c"
#include "timekeeping.c"
#include "wait.c"
