// SPDX-License-Identifier: GPL-2.0

#include <net/sock.h>
#include <net/tcp.h>

/* Neither a request nor the remains of a connection. */
bool tcpfo_helper_sk_is_connected(const struct sock *sk)
{
	return sk_fullsock(sk) && READ_ONCE(sk->sk_state) != TCP_CLOSE;
}

/* Closed, or all that remains is TIME_WAIT. */
bool tcpfo_helper_sk_is_over(const struct sock *sk)
{
	return sk->sk_state == TCP_TIME_WAIT || sk->sk_state == TCP_CLOSE;
}

/* A full TCP socket with a write side: not a listener, a request or TIME_WAIT. */
bool tcpfo_helper_sk_sends_stream(const struct sock *sk)
{
	return sk_fullsock(sk) && sk_is_tcp(sk) && READ_ONCE(sk->sk_state) != TCP_LISTEN;
}

/**
 * tcpfo_helper_sock_set_timeouts - bound how long a socket's calls may block
 * @sock: a socket that no other thread uses yet
 * @receive: for accept and receive, in milliseconds
 * @send: for connect and send, in milliseconds
 */
void tcpfo_helper_sock_set_timeouts(struct socket *sock, unsigned int receive, unsigned int send)
{
	WRITE_ONCE(sock->sk->sk_rcvtimeo, msecs_to_jiffies(receive));
	WRITE_ONCE(sock->sk->sk_sndtimeo, msecs_to_jiffies(send));
}

/**
 * tcpfo_helper_tcp_send_ack - make a TCP socket send an acknowledgement now
 * @sk: a full TCP socket that the caller holds a reference of
 *
 * Context: may sleep.
 */
void tcpfo_helper_tcp_send_ack(struct sock *sk)
{
	lock_sock(sk);
	if (sk->sk_state != TCP_CLOSE && sk->sk_state != TCP_LISTEN)
		__tcp_send_ack(sk, tcp_sk(sk)->rcv_nxt, 0);
	release_sock(sk);
}

/**
 * tcpfo_helper_tcp_splice - set what a socket is to go on with when its client takes over
 * @sk: a full TCP socket, locked by the caller or by the stack below which it runs
 * @cwnd: the congestion window to start from, in segments
 *
 * Catching up has taught the socket a congestion window of a network that is not there.
 */
void tcpfo_helper_tcp_splice(struct sock *sk, u32 cwnd)
{
	struct tcp_sock *tp = tcp_sk(sk);

	if (tcp_snd_cwnd(tp) > cwnd)
		tcp_snd_cwnd_set(tp, cwnd);
}
