/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A stretch of time, measured: how long it took, how much of it the processor was idle, and by how
 * much the numbers in some files have grown meanwhile.
 */
#ifndef METER_H
#define METER_H

#include <stddef.h>
#include <stdint.h>

/* Says why and ends the program: a workload that fails has no figures. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

uint64_t now_ns(void);

/* meter_file - NAME=PATH: the first number in that file is read at the beginning and at the end. */
void meter_file(char *name_and_path);
void meter_begin(void);
void meter_end(void);

/* meter_latency - one more wait, in nanoseconds, of requests or of connects. */
enum wait { REQUEST, CONNECT };
void meter_latency(enum wait kind, uint64_t ns);

/* meter_tell - prints all that, and how many units of work it was, as one line of JSON. */
void meter_tell(const char *workload, double units);

#endif
