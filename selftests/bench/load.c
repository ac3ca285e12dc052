// SPDX-License-Identifier: GPL-2.0
/*
 * load [-f NAME=PATH]... ADDRESS PORT download FILE TIMES
 *                                     upload   FILE TIMES
 *                                     requests FILE COUNT CONNECTIONS
 *                                     connects FILE COUNT CONNECTIONS
 *                                     hold     FILE COUNT EACH
 *                                     handover FILE-OF-SYSFS FILE-OF-SYSFS COUNT
 *                                     idle     MILLISECONDS
 *
 * An HTTP client that costs little, so that what it measures is the others' cost: it looks at
 * the bytes when the clock has stopped, or at small ones only. FILE is what the server has as
 * well, as /NAME; an upload goes to /store/NAME. Ends with 1 when a connection breaks or an answer
 * is wrong.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meter.h"

#define MEGABYTE 1e6
#define HEADER_MAX 4096
#define CONNECTIONS_MAX 256
/* As they grow by chance, otherwise. The kernel doubles these. */
#define SEND_BUFFER (100 << 10)
#define RECEIVE_BUFFER (500 << 10)
/* An answer that does not come for so many seconds has failed, as has a handover. */
#define PATIENCE 60
/* Of a request that is only begun, in bytes. */
#define FIRST_PART 20
/* Connections of one address of this host, whose addresses follow each other. */
#define PORTS 25000

static struct sockaddr_in server;

/* What is sent to the server, or expected of it. */
static struct {
	const char *name;
	int fd;
	size_t size;
	char *bytes;
} content;

static void content_open(const char *path)
{
	struct stat status;
	const char *slash = strrchr(path, '/');

	content.name = slash ? slash + 1 : path;
	content.fd = open(path, O_RDONLY);
	if (content.fd < 0 || fstat(content.fd, &status))
		fail("%s: %s", path, strerror(errno));
	content.size = status.st_size;
	content.bytes = mmap(NULL, content.size, PROT_READ, MAP_PRIVATE, content.fd, 0);
	if (content.bytes == MAP_FAILED)
		fail("%s: %s", path, strerror(errno));
}

static void set_option(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		fail("setsockopt: %s", strerror(errno));
}

static int open_socket(int flags, const struct sockaddr *from)
{
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);
	struct timeval patience = { .tv_sec = PATIENCE };

	if (fd < 0)
		fail("socket: %s", strerror(errno));
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
	set_option(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		fail("setsockopt: %s", strerror(errno));
	if (from) {
		set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
		if (bind(fd, from, sizeof(*from)))
			fail("bind: %s", strerror(errno));
	}
	if (connect(fd, (struct sockaddr *)&server, sizeof(server)) && errno != EINPROGRESS)
		fail("connect: %s", strerror(errno));
	return fd;
}

static void send_all(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);

		if (sent <= 0)
			fail("send: %s", strerror(errno));
		bytes += sent;
		size -= sent;
	}
}

/* receive_answer - until a header and `body` bytes have come; returns where the body begins. */
static char *receive_answer(int fd, char *buffer, size_t body)
{
	size_t have = 0;
	char *end = NULL;

	while (!end || have < end - buffer + body) {
		ssize_t got = recv(fd, buffer + have, HEADER_MAX + body - have, 0);

		if (got <= 0)
			fail("an answer ends after %zu bytes: %s", have,
			     got ? strerror(errno) : "end of the stream");
		have += got;
		if (!end) {
			end = memmem(buffer, have, "\r\n\r\n", 4);
			end = end ? end + 4 : NULL;
		}
	}
	if (strncmp(buffer, "HTTP/1.1 20", 11))
		fail("answered %.20s", buffer);
	return end;
}

static void download(int times)
{
	size_t room = content.size + HEADER_MAX;
	char *buffer = malloc(room), *body = buffer, request[512];
	int fd = open_socket(0, NULL), i;

	if (!buffer)
		fail("no memory");
	/* Its pages are to be there, and those of the file for nginx. */
	memset(buffer, 1, room);
	sprintf(request, "GET /%s HTTP/1.1\r\nHost: bench\r\n\r\n", content.name);
	send_all(fd, request, strlen(request));
	receive_answer(fd, buffer, content.size);
	meter_begin();
	for (i = 0; i < times; i++) {
		send_all(fd, request, strlen(request));
		body = receive_answer(fd, buffer, content.size);
	}
	meter_end();
	if (memcmp(body, content.bytes, content.size))
		fail("wrong bytes");
	meter_tell("download", times * content.size / MEGABYTE);
}

static void upload_once(int fd)
{
	char buffer[HEADER_MAX];
	off_t offset = 0;

	sprintf(buffer, "PUT /store/%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %zu\r\n\r\n",
		content.name, content.size);
	send_all(fd, buffer, strlen(buffer));
	while (offset < (off_t)content.size)
		if (sendfile(fd, content.fd, &offset, content.size - offset) <= 0)
			fail("sendfile: %s", strerror(errno));
	receive_answer(fd, buffer, 0);
}

static void upload(int times)
{
	int fd = open_socket(0, NULL), i;

	upload_once(fd);
	meter_begin();
	for (i = 0; i < times; i++)
		upload_once(fd);
	meter_end();
	meter_tell("upload", times * content.size / MEGABYTE);
}

/* Requests: each connection has one under way. */

struct connection {
	int fd;
	int connecting;
	size_t have;
	__u64 began;
	char buffer[2 * HEADER_MAX];
};

static struct {
	int epoll;
	int reconnect;
	char text[512];
	/* Of an answer, all of which are of one length. */
	size_t expected;
	long to_begin;
	long to_end;
} requests;

static void watch(struct connection *connection, int operation, int events)
{
	struct epoll_event event = { .events = events, .data.ptr = connection };

	if (epoll_ctl(requests.epoll, operation, connection->fd, &event))
		fail("epoll: %s", strerror(errno));
}

static void ask(struct connection *connection)
{
	connection->have = 0;
	connection->began = now_ns();
	send_all(connection->fd, requests.text, strlen(requests.text));
}

static void start(struct connection *connection)
{
	connection->began = now_ns();
	connection->fd = open_socket(SOCK_NONBLOCK, NULL);
	connection->connecting = 1;
	watch(connection, EPOLL_CTL_ADD, EPOLLOUT);
}

static void next(struct connection *connection)
{
	if (requests.to_begin <= 0)
		return;
	requests.to_begin--;
	if (requests.reconnect)
		start(connection);
	else
		ask(connection);
}

static void connected(struct connection *connection)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length) || error)
		fail("connect: %s", strerror(error ? error : errno));
	meter_latency(CONNECT, now_ns() - connection->began);
	watch(connection, EPOLL_CTL_MOD, EPOLLIN);
	connection->connecting = 0;
	ask(connection);
}

static void check_answer(struct connection *connection)
{
	char *body = connection->buffer + connection->have - content.size;

	if (strncmp(connection->buffer, "HTTP/1.1 200", 12) ||
	    memcmp(body, content.bytes, content.size))
		fail("a wrong answer: %.*s", (int)connection->have, connection->buffer);
}

/* The server closes first when it was asked to. */
static void ended(struct connection *connection)
{
	requests.to_end--;
	if (requests.reconnect)
		close(connection->fd);
	next(connection);
}

static void readable(struct connection *connection)
{
	ssize_t got = recv(connection->fd, connection->buffer + connection->have,
			   sizeof(connection->buffer) - connection->have, MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got < 0)
		fail("recv: %s", strerror(errno));
	if (got > 0) {
		connection->have += got;
		if (connection->have > requests.expected)
			fail("an answer is too long");
		if (connection->have < requests.expected)
			return;
		meter_latency(REQUEST, now_ns() - connection->began);
		check_answer(connection);
		if (!requests.reconnect)
			ended(connection);
		return;
	}
	if (!requests.reconnect || connection->have != requests.expected)
		fail("the end of the stream, after %zu bytes", connection->have);
	ended(connection);
}

static void run_requests(struct connection *connections, long count, int parallel)
{
	struct epoll_event events[CONNECTIONS_MAX];
	int i, ready;

	requests.to_begin = count;
	requests.to_end = count;
	for (i = 0; i < parallel; i++)
		next(&connections[i]);
	while (requests.to_end > 0) {
		ready = epoll_wait(requests.epoll, events, CONNECTIONS_MAX, PATIENCE * 1000);
		if (ready < 0 && errno != EINTR)
			fail("epoll: %s", strerror(errno));
		if (!ready)
			fail("%ld of %ld answers are missing, and nothing comes for %d s",
			     requests.to_end, count, PATIENCE);
		for (i = 0; i < ready; i++) {
			struct connection *connection = events[i].data.ptr;

			if (connection->connecting)
				connected(connection);
			else
				readable(connection);
		}
	}
}

/* learn_length - how long an answer is, from the first one. */
static void learn_length(void)
{
	char buffer[2 * HEADER_MAX];
	int fd = open_socket(0, NULL);

	send_all(fd, requests.text, strlen(requests.text));
	requests.expected = receive_answer(fd, buffer, content.size) - buffer + content.size;
	close(fd);
}

static void many(const char *workload, int reconnect, long count, int parallel)
{
	struct connection *connections = calloc(CONNECTIONS_MAX, sizeof(*connections));
	int i;

	if (!connections || parallel > CONNECTIONS_MAX || content.size > HEADER_MAX)
		fail("too large");
	requests.epoll = epoll_create1(0);
	requests.reconnect = reconnect;
	sprintf(requests.text, "GET /%s HTTP/1.1\r\nHost: bench\r\n%s\r\n", content.name,
		reconnect ? "Connection: close\r\n" : "");
	learn_length();
	for (i = 0; i < parallel && !reconnect; i++) {
		connections[i].fd = open_socket(0, NULL);
		watch(&connections[i], EPOLL_CTL_ADD, EPOLLIN);
	}
	/* Whatever is done once is done before. */
	run_requests(connections, 4 * parallel, parallel);
	meter_begin();
	run_requests(connections, count, parallel);
	meter_end();
	meter_tell(workload, count);
}

/*
 * hold - opens connections, each of which has had one answer, says "ready", and keeps them until
 * the standard input ends; then each has another one. For the first PORTS of them the host's
 * address ends in 11, for the next ones in 12, and so on. Of each `each` connections one has sent
 * the first part of its next request already.
 */
static void hold(int count, int each)
{
	__u32 network = ntohl(server.sin_addr.s_addr) & ~0xff;
	struct sockaddr_in from = { .sin_family = AF_INET };
	int *fds = calloc(count, sizeof(*fds)), i, round, begun;
	char request[512], buffer[2 * HEADER_MAX], *body;

	if (!fds || content.size > HEADER_MAX)
		fail("too large");
	sprintf(request, "GET /%s HTTP/1.1\r\nHost: bench\r\n\r\n", content.name);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < count; i++) {
			if (!round) {
				from.sin_addr.s_addr = htonl(network + 11 + i / PORTS);
				fds[i] = open_socket(0, (struct sockaddr *)&from);
			}
			begun = round && each && i % each == 0 ? FIRST_PART : 0;
			send_all(fds[i], request + begun, strlen(request) - begun);
			body = receive_answer(fds[i], buffer, content.size);
			if (memcmp(body, content.bytes, content.size))
				fail("connection %d: wrong bytes", i);
			if (!round && each && i % each == 0)
				send_all(fds[i], request, FIRST_PART);
		}
		if (!round)
			puts("ready");
		fflush(stdout);
		while (!round && read(0, buffer, 1) > 0)
			;
	}
}

/* handover - from the order, given by a file, until another one says that all have moved. */
static void handover(const char *order, const char *moved, int count)
{
	int fd = open(order, O_WRONLY);
	__u64 began = now_ns(), done = 0;

	meter_begin();
	if (fd < 0 || write(fd, "1\n", 2) != 2)
		fail("%s: %s", order, strerror(errno));
	while ((done = first_number(moved)) < (__u64)count) {
		if (now_ns() - began > PATIENCE * 1000000000ull)
			fail("%llu of %d connections have moved in %d s", done, count, PATIENCE);
		usleep(20000);
	}
	meter_end();
	meter_tell("handover", count);
}

static void idle(int milliseconds)
{
	meter_begin();
	usleep(milliseconds * 1000);
	meter_end();
	meter_tell("idle", milliseconds / 1e3);
}

int main(int argc, char **argv)
{
	int option;
	char **words;

	while ((option = getopt(argc, argv, "f:")) != -1) {
		if (option != 'f')
			return 2;
		meter_file(optarg);
	}
	words = argv + optind;
	argc -= optind;
	if (argc < 4)
		fail("see the beginning of load.c");
	server.sin_family = AF_INET;
	server.sin_port = htons(atoi(words[1]));
	if (inet_pton(AF_INET, words[0], &server.sin_addr) != 1)
		fail("%s is no address", words[0]);
	if (!strcmp(words[2], "idle")) {
		idle(atoi(words[3]));
		return 0;
	}
	if (!strcmp(words[2], "handover") && argc == 6) {
		handover(words[3], words[4], atoi(words[5]));
		return 0;
	}
	content_open(words[3]);
	if (!strcmp(words[2], "download") && argc == 5)
		download(atoi(words[4]));
	else if (!strcmp(words[2], "upload") && argc == 5)
		upload(atoi(words[4]));
	else if (!strcmp(words[2], "requests") && argc == 6)
		many(words[2], 0, atol(words[4]), atoi(words[5]));
	else if (!strcmp(words[2], "connects") && argc == 6)
		many(words[2], 1, atol(words[4]), atoi(words[5]));
	else if (!strcmp(words[2], "hold") && argc == 6)
		hold(atoi(words[4]), atoi(words[5]));
	else
		fail("see the beginning of load.c");
	return 0;
}
