// SPDX-License-Identifier: GPL-2.0
/* See meter.h. What is kept is made room for beforehand: measuring costs next to nothing. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "meter.h"

#define FILES 64
#define WAITS 1000000

struct file {
	char *name;
	const char *path;
	__u64 begin;
	__u64 end;
};

static struct file files[FILES];
static size_t file_count;
static __u64 *waits[2];
static size_t wait_count[2];
static __u64 begin_ns, end_ns, begin_idle, end_idle, begin_own, end_own;
static __u64 begin_run, end_run;

noreturn void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("failed: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static __u64 clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

__u64 now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

void meter_file(char *name_and_path)
{
	char *path = strchr(name_and_path, '=');

	if (!path || file_count == FILES)
		fail("too many files, or no NAME=PATH: %s", name_and_path);
	*path++ = 0;
	files[file_count].name = name_and_path;
	files[file_count++].path = path;
}

__u64 first_number(const char *path)
{
	unsigned long long number;
	FILE *file = fopen(path, "r");

	if (!file || fscanf(file, "%llu", &number) != 1)
		fail("no number in %s", path);
	fclose(file);
	return number;
}

/* Of one processor, in nanoseconds. It is exact to some milliseconds. */
static __u64 idle_ns(void)
{
	unsigned long long idle, iowait;
	FILE *file = fopen("/proc/stat", "r");

	if (!file || fscanf(file, "cpu %*u %*u %*u %llu %llu", &idle, &iowait) != 2)
		fail("/proc/stat is not what it was");
	fclose(file);
	return (idle + iowait) * (1000000000ull / sysconf(_SC_CLK_TCK));
}

/* All that threads have run, to the nanosecond; not what interrupts do while nothing runs. */
static __u64 run_ns(void)
{
	unsigned long long run;
	char line[4096];
	FILE *file = fopen("/proc/schedstat", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "cpu0 %*u %*u %*u %*u %*u %*u %llu", &run) == 1) {
			fclose(file);
			return run;
		}
	fail("/proc/schedstat is not what it was");
}

void meter_begin(void)
{
	size_t i;

	for (i = 0; i < 2; i++) {
		waits[i] = malloc(WAITS * sizeof(*waits[i]));
		if (!waits[i])
			fail("no memory");
		/* Not when they are first written. */
		memset(waits[i], 1, WAITS * sizeof(*waits[i]));
	}
	for (i = 0; i < file_count; i++)
		files[i].begin = first_number(files[i].path);
	/* What this thread has run so far is counted when it sleeps. */
	usleep(1000);
	begin_idle = idle_ns();
	begin_run = run_ns();
	begin_own = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	begin_ns = now_ns();
}

void meter_end(void)
{
	size_t i;

	end_ns = now_ns();
	end_own = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	end_run = run_ns();
	end_idle = idle_ns();
	for (i = 0; i < file_count; i++)
		files[i].end = first_number(files[i].path);
}

void meter_latency(enum wait kind, __u64 ns)
{
	if (waits[kind] && wait_count[kind] < WAITS)
		waits[kind][wait_count[kind]++] = ns;
}

static int compare(const void *a, const void *b)
{
	const __u64 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void tell_waits(const char *name, enum wait kind)
{
	size_t count = wait_count[kind];

	if (!count)
		return;
	qsort(waits[kind], count, sizeof(*waits[kind]), compare);
	printf(", \"%s_p50_ns\": %llu, \"%s_p99_ns\": %llu", name, waits[kind][count / 2], name,
	       waits[kind][count - 1 - count / 100]);
}

void meter_tell(const char *workload, double units)
{
	size_t i;

	printf("figure {\"workload\": \"%s\", \"units\": %.6g, ", workload, units);
	printf("\"elapsed_ns\": %llu, \"idle_ns\": %llu, \"run_ns\": %llu, ", end_ns - begin_ns,
	       end_idle - begin_idle, end_run - begin_run);
	printf("\"cpu_client_load\": %llu", end_own - begin_own);
	tell_waits("request", REQUEST);
	tell_waits("connect", CONNECT);
	for (i = 0; i < file_count; i++)
		printf(", \"%s\": %llu", files[i].name, files[i].end - files[i].begin);
	puts("}");
}
