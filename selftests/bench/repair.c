// SPDX-License-Identifier: GPL-2.0
/*
 * repair give ADDRESS PORT FILE COUNT TO CHANNEL_PORT
 * repair take CHANNEL_ADDRESS CHANNEL_PORT FILE COUNT
 *
 * What a program in user space needs to move its connections to another host by TCP_REPAIR: the
 * one to compare the module's handover with. `give` serves COUNT connections, each of which has one
 * answer; when the standard input ends it reads everything of them out of the kernel and sends it
 * to `take`, which makes sockets of it and serves on. Nothing is moved but connections: the
 * address has to be there already, and a server's state is not looked at. `give` measures, from the
 * first one to the word that the last one is there.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meter.h"

#define QUEUE_MAX 65536
#define REQUEST_MAX 4096
/* Kinds of options in a header: RFC 9293, 7323, 2018. Only the C library's header has names for
 * them, and that one cannot be had beside the kernel's.
 */
#define TCPOPT_MAXSEG 2
#define TCPOPT_WINDOW 3
#define TCPOPT_SACK_PERM 4
#define TCPOPT_TIMESTAMP 8
#define REPAIR_OFF_NO_PROBE (-1)

/* One connection on its way; its two queues follow. */
struct image {
	struct sockaddr_in local;
	struct sockaddr_in peer;
	struct tcp_repair_window window;
	__u32 seq[2];
	__u32 length[2];
	__u32 mss;
	__u32 timestamp;
	__u8 options;
	__u8 snd_wscale;
	__u8 rcv_wscale;
};

/* In the order of an image. */
static const int queues[2] = { TCP_RECV_QUEUE, TCP_SEND_QUEUE };
static char answer[REQUEST_MAX];
static size_t answer_size;

static void set(int fd, int level, int name, const void *value, socklen_t size)
{
	if (setsockopt(fd, level, name, value, size))
		fail("setsockopt %d: %s", name, strerror(errno));
}

static void set_int(int fd, int level, int name, int value)
{
	set(fd, level, name, &value, sizeof(value));
}

static void get(int fd, int name, void *value, socklen_t size)
{
	if (getsockopt(fd, IPPROTO_TCP, name, value, &size))
		fail("getsockopt %d: %s", name, strerror(errno));
}

static void read_all(int fd, void *to, size_t size)
{
	char *bytes = to;

	while (size) {
		ssize_t got = recv(fd, bytes, size, 0);

		if (got <= 0)
			fail("recv: %s", got ? strerror(errno) : "end of the stream");
		bytes += got;
		size -= got;
	}
}

static void write_all(int fd, const void *from, size_t size)
{
	if (send(fd, from, size, MSG_NOSIGNAL) != (ssize_t)size)
		fail("send: %s", strerror(errno));
}

static struct sockaddr_in address_of(const char *address, const char *port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (inet_pton(AF_INET, address, &name.sin_addr) != 1)
		fail("%s is no address", address);
	return name;
}

static int listen_on(const struct sockaddr_in *name)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bind(fd, name, sizeof(*name)) || listen(fd, 4096))
		fail("listen: %s", strerror(errno));
	return fd;
}

/* dump - reads a connection out of its socket; returns how many bytes that is. */
static size_t dump(int fd, char *buffer)
{
	struct image *image = (struct image *)buffer;
	socklen_t size = sizeof(image->local);
	char *bytes = buffer + sizeof(*image);
	struct tcp_info info;
	int i, length;

	set_int(fd, IPPROTO_TCP, TCP_REPAIR, 1);
	if (getsockname(fd, &image->local, &size) || getpeername(fd, &image->peer, &size))
		fail("getsockname: %s", strerror(errno));
	get(fd, TCP_INFO, &info, sizeof(info));
	image->options = info.tcpi_options;
	image->snd_wscale = info.tcpi_snd_wscale;
	image->rcv_wscale = info.tcpi_rcv_wscale;
	get(fd, TCP_MAXSEG, &image->mss, sizeof(image->mss));
	get(fd, TCP_TIMESTAMP, &image->timestamp, sizeof(image->timestamp));
	get(fd, TCP_REPAIR_WINDOW, &image->window, sizeof(image->window));
	for (i = 0; i < 2; i++) {
		if (ioctl(fd, i ? SIOCOUTQ : SIOCINQ, &length) || length > QUEUE_MAX)
			fail("a queue is too long, or not known");
		set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queues[i]);
		get(fd, TCP_QUEUE_SEQ, &image->seq[i], sizeof(image->seq[i]));
		image->seq[i] -= length;
		image->length[i] = length;
		if (length && recv(fd, bytes, length, MSG_PEEK | MSG_DONTWAIT) != length)
			fail("a queue: %s", strerror(errno));
		bytes += length;
	}
	return bytes - buffer;
}

static void restore_options(int fd, const struct image *image)
{
	struct tcp_repair_opt options[4] = { { TCPOPT_MAXSEG, image->mss } };
	int count = 1;

	if (image->options & TCPI_OPT_WSCALE)
		options[count++] = (struct tcp_repair_opt){
			TCPOPT_WINDOW, image->snd_wscale | image->rcv_wscale << 16 };
	if (image->options & TCPI_OPT_SACK)
		options[count++] = (struct tcp_repair_opt){ TCPOPT_SACK_PERM, 0 };
	if (image->options & TCPI_OPT_TIMESTAMPS)
		options[count++] = (struct tcp_repair_opt){ TCPOPT_TIMESTAMP, 0 };
	set(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options, count * sizeof(*options));
}

/* restore - makes a socket of what dump() has read. */
static int restore(const struct image *image, const char *bytes)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), i;

	set_int(fd, IPPROTO_TCP, TCP_REPAIR, 1);
	for (i = 0; i < 2; i++) {
		set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queues[i]);
		set_int(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, image->seq[i]);
	}
	if (bind(fd, &image->local, sizeof(image->local)) ||
	    connect(fd, &image->peer, sizeof(image->peer)))
		fail("no new socket: %s", strerror(errno));
	restore_options(fd, image);
	set_int(fd, IPPROTO_TCP, TCP_TIMESTAMP, image->timestamp);
	for (i = 0; i < 2; i++) {
		if (!image->length[i])
			continue;
		set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, queues[i]);
		write_all(fd, bytes, image->length[i]);
		bytes += image->length[i];
	}
	set_int(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_NO_QUEUE);
	set(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &image->window, sizeof(image->window));
	set_int(fd, IPPROTO_TCP, TCP_REPAIR, REPAIR_OFF_NO_PROBE);
	return fd;
}

/* serve_first - accepts connections, and answers the first request of each. */
static void serve_first(int listener, int *fds, int count)
{
	char request[REQUEST_MAX];
	int i;

	for (i = 0; i < count; i++) {
		fds[i] = accept(listener, NULL, NULL);
		if (fds[i] < 0 || recv(fds[i], request, sizeof(request), 0) <= 0)
			fail("a connection: %s", strerror(errno));
		write_all(fds[i], answer, answer_size);
	}
}

/* serve_on - answers requests, once they are whole, until all connections have ended. */
static void serve_on(const int *fds, int count)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	char request[REQUEST_MAX];
	int epoll = epoll_create1(0), i;

	for (i = 0; i < count; i++) {
		event.data.fd = fds[i];
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event))
			fail("epoll: %s", strerror(errno));
	}
	while (count && epoll_wait(epoll, &event, 1, -1) == 1) {
		ssize_t got = recv(event.data.fd, request, sizeof(request) - 1, MSG_PEEK);

		if (got < 0)
			fail("recv: %s", strerror(errno));
		request[got] = 0;
		if (!got) {
			close(event.data.fd);
			count--;
		} else if (strstr(request, "\r\n\r\n") &&
			   recv(event.data.fd, request, got, 0) == got) {
			write_all(event.data.fd, answer, answer_size);
		}
	}
}

static void give(char **words, int *fds, int count)
{
	struct sockaddr_in service = address_of(words[0], words[1]);
	struct sockaddr_in to = address_of(words[4], words[5]);
	static char buffer[sizeof(struct image) + 2 * QUEUE_MAX];
	int channel, i;

	serve_first(listen_on(&service), fds, count);
	puts("ready");
	fflush(stdout);
	while (read(0, buffer, 1) > 0)
		;
	channel = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(channel, &to, sizeof(to)))
		fail("connect: %s", strerror(errno));
	meter_begin();
	for (i = 0; i < count; i++) {
		write_all(channel, buffer, dump(fds[i], buffer));
		close(fds[i]);
	}
	read_all(channel, buffer, 1);
	meter_end();
	meter_tell("repair", count);
}

static void take(char **words, int *fds, int count)
{
	struct sockaddr_in name = address_of(words[0], words[1]);
	int channel = accept(listen_on(&name), NULL, NULL), i;
	static char bytes[2 * QUEUE_MAX];
	struct image image;

	for (i = 0; i < count; i++) {
		read_all(channel, &image, sizeof(image));
		read_all(channel, bytes, image.length[0] + image.length[1]);
		fds[i] = restore(&image, bytes);
	}
	write_all(channel, "", 1);
	serve_on(fds, count);
}

int main(int argc, char **argv)
{
	int count = argc > 5 ? atoi(argv[5]) : 0, *fds = calloc(count + 1, sizeof(*fds)), file, got;

	if (argc < 6 || count <= 0 || !fds)
		fail("see the beginning of repair.c");
	file = open(argv[4], O_RDONLY);
	answer_size = sprintf(answer, "HTTP/1.1 200 OK\r\n\r\n");
	got = file < 0 ? -1 : read(file, answer + answer_size, sizeof(answer) - answer_size);
	if (got < 0)
		fail("%s: %s", argv[4], strerror(errno));
	answer_size += got;
	if (!strcmp(argv[1], "give") && argc == 8)
		give(argv + 2, fds, count);
	else if (!strcmp(argv[1], "take"))
		take(argv + 2, fds, count);
	else
		fail("see the beginning of repair.c");
	return 0;
}
