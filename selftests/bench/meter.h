/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A stretch of time, measured: how long it took, how much of it the processor was idle, and by how
 * much the numbers in some files have grown meanwhile.
 */
#ifndef METER_H
#define METER_H

#include <linux/types.h>
#include <stdnoreturn.h>

/* Says why and ends the program: a workload that fails has no figures. */
noreturn void fail(const char *format, ...);

__u64 now_ns(void);
/* first_number - that a file begins with. */
__u64 first_number(const char *path);

/* meter_file - NAME=PATH: the first number in that file is read at the beginning and at the end. */
void meter_file(char *name_and_path);
void meter_begin(void);
void meter_end(void);

/* meter_latency - one more wait, in nanoseconds, of requests or of connects. */
enum wait { REQUEST, CONNECT };
void meter_latency(enum wait kind, __u64 ns);

/* meter_tell - prints all that, and how many units of work it was, as one line of JSON. */
void meter_tell(const char *workload, double units);

#endif
