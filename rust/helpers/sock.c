// SPDX-License-Identifier: GPL-2.0

#include <net/sock.h>
#include <net/tcp.h>

/* Neither a request nor the remains of a connection. */
bool tcpfo_helper_sk_is_connected(const struct sock *sk)
{
	return sk_fullsock(sk) && READ_ONCE(sk->sk_state) != TCP_CLOSE;
}

bool tcpfo_helper_sk_is_established(const struct sock *sk)
{
	return READ_ONCE(sk->sk_state) == TCP_ESTABLISHED;
}

/* Closed, or all that remains is TIME_WAIT; not FIN_WAIT_2, which looks like it. */
bool tcpfo_helper_sk_is_over(const struct sock *sk)
{
	if (sk->sk_state == TCP_TIME_WAIT)
		return READ_ONCE(inet_twsk(sk)->tw_substate) == TCP_TIME_WAIT;
	return sk->sk_state == TCP_CLOSE;
}

/* A full TCP socket with a write side: not a listener, a request or TIME_WAIT. */
bool tcpfo_helper_sk_sends_stream(const struct sock *sk)
{
	return sk_fullsock(sk) && sk_is_tcp(sk) && READ_ONCE(sk->sk_state) != TCP_LISTEN;
}

/**
 * tcpfo_helper_sk_is_locked - look whether a socket is locked at the moment
 * @sk: a full socket
 *
 * Nothing tells by whom. Without CONFIG_SMP only what a process has locked is seen.
 *
 * Return: whether somebody has locked it
 */
bool tcpfo_helper_sk_is_locked(struct sock *sk)
{
	return sock_owned_by_user_nocheck(sk) || spin_is_locked(&sk->sk_lock.slock);
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
 * tcpfo_helper_bh_lock_sock - lock a full socket for a moment, unless a process has locked it
 * @sk: a full socket
 *
 * Context: any but hard interrupts. Hooks behind NFQUEUE run with bottom halves enabled.
 *
 * Return: whether it is locked; then tcpfo_helper_bh_unlock_sock() has to follow
 */
bool tcpfo_helper_bh_lock_sock(struct sock *sk)
{
	local_bh_disable();
	bh_lock_sock(sk);
	if (!sock_owned_by_user(sk))
		return true;
	bh_unlock_sock(sk);
	local_bh_enable();
	return false;
}

void tcpfo_helper_bh_unlock_sock(struct sock *sk)
{
	bh_unlock_sock(sk);
	local_bh_enable();
}

static bool tcpfo_is_plain(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

#ifdef CONFIG_TCP_MD5SIG
	if (rcu_access_pointer(tp->md5sig_info))
		return false;
#endif
#ifdef CONFIG_TCP_AO
	if (rcu_access_pointer(tp->ao_info))
		return false;
#endif
	return !sk_is_mptcp(sk) && !inet_csk_has_ulp(sk) && !tcp_ecn_mode_accecn(tp) &&
	       !tp->urg_data;
}

/**
 * tcpfo_helper_tcp_at_rest - look whether nothing is under way in either direction
 * @sk: a full TCP socket, locked
 * @seq: the sequence number of the client's next byte, which has just come
 * @ack: what it acknowledges
 * @out: what a handshake at this place of both streams would have negotiated
 *
 * At rest is a connection whose application has read all that the client has sent before, and
 * whose client has received all that the application has written.
 *
 * Return: whether it is, and has nothing that a handshake cannot bring about
 */
bool tcpfo_helper_tcp_at_rest(const struct sock *sk, u32 seq, u32 ack, struct tcpfo_request *out)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	if (sk->sk_state != TCP_ESTABLISHED || tp->rcv_nxt != seq || tp->copied_seq != seq ||
	    tp->snd_nxt != ack || tp->write_seq != ack ||
	    !RB_EMPTY_ROOT(&tp->out_of_order_queue) || !tcpfo_is_plain(sk))
		return false;
	*out = (struct tcpfo_request) {
		.iss = ack - 1,
		.irs = seq - 1,
		.window = tcp_receive_window(tp),
		.ts_off = tp->tsoffset,
		/* Of now: tcp_time_stamp_ts() is of when the socket was last looked at. */
		.tsval = tcp_clock_ts(tp->tcp_usec_ts) + tp->tsoffset,
		.client_tsval = tp->rx_opt.ts_recent,
		.client_mss = tp->rx_opt.mss_clamp,
		.client_wscale = tp->rx_opt.snd_wscale,
		.wscale = tp->rx_opt.rcv_wscale,
		.wscale_ok = tp->rx_opt.wscale_ok,
		.tstamp_ok = tp->rx_opt.tstamp_ok,
		.sack_ok = tcp_is_sack(tp),
		.ecn_ok = tcp_ecn_mode_rfc3168(tp),
		.usec_ts = tp->tcp_usec_ts,
	};
	return true;
}

/**
 * tcpfo_helper_tcp_quiet - look whether nothing is under way in either direction
 * @sk: a full TCP socket, locked
 * @out: where it stands
 *
 * Return: whether the application has read all that has come, and the client has received all that
 *	   the application has written, while neither has said that it ends
 */
bool tcpfo_helper_tcp_quiet(const struct sock *sk, struct tcpfo_quiet *out)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	if (sk->sk_state != TCP_ESTABLISHED || tp->copied_seq != tp->rcv_nxt ||
	    tp->snd_una != tp->write_seq || !RB_EMPTY_ROOT(&tp->out_of_order_queue))
		return false;
	*out = (struct tcpfo_quiet) {
		.snd_nxt = tp->snd_nxt,
		.window = tp->snd_wnd,
	};
	return true;
}

void tcpfo_helper_lock_sock(struct sock *sk)
{
	lock_sock(sk);
}

void tcpfo_helper_release_sock(struct sock *sk)
{
	release_sock(sk);
}

/* To be called with the socket locked. */
bool tcpfo_helper_tcp_has_unsent(const struct sock *sk)
{
	return tcp_sk(sk)->write_seq != tcp_sk(sk)->snd_nxt;
}

/* To be called with the socket locked. */
void tcpfo_helper_tcp_send_ack(struct sock *sk)
{
	__tcp_send_ack(sk, tcp_sk(sk)->rcv_nxt, 0);
}

/**
 * tcpfo_helper_tcp_ack_soon - have a socket acknowledge what it has, without waiting for it
 * @sk: a full TCP socket
 * @at_once: not only if it sends nothing else soon
 *
 * A process that has it locked may be waiting for its memory to be read from a disk. It
 * acknowledges when it lets go of the lock, as it does what the stack leaves to it, see
 * tcp_release_cb(), or when the timer says so. If it changes the byte at the same time, it is about
 * to send a segment that acknowledges, too.
 *
 * Context: any but hard interrupts. What is sent passes the hooks.
 */
void tcpfo_helper_tcp_ack_soon(struct sock *sk, bool at_once)
{
	struct inet_connection_sock *icsk = inet_csk(sk);
	bool owned;

	local_bh_disable();
	bh_lock_sock(sk);
	owned = sock_owned_by_user(sk);
	if (sk->sk_state != TCP_CLOSE && at_once && !owned) {
		tcpfo_helper_tcp_send_ack(sk);
	} else if (sk->sk_state != TCP_CLOSE) {
		u8 pending = READ_ONCE(icsk->icsk_ack.pending);

		WRITE_ONCE(icsk->icsk_ack.pending, pending | ICSK_ACK_SCHED);
		if (at_once)
			set_bit(TCP_ACK_DEFERRED, &sk->sk_tsq_flags);
		/* One that is due earlier is not put off. */
		else if (!(pending & ICSK_ACK_TIMER))
			inet_csk_reset_xmit_timer(sk, ICSK_TIME_DACK, TCP_DELACK_MIN, TCP_RTO_MAX);
	}
	bh_unlock_sock(sk);
	local_bh_enable();
}

/**
 * tcpfo_helper_tcp_forget_windows - take the present window of the client for the largest so far
 * @sk: a full TCP socket, locked by the caller
 *
 * Segments are cut to half of the largest window, see tcp_bound_to_half_wnd(): with a wider one in
 * mind, none fits a client whose windows are tiny, and each waits for a timer.
 */
void tcpfo_helper_tcp_forget_windows(struct sock *sk)
{
	tcp_sk(sk)->max_window = tcp_sk(sk)->snd_wnd;
}

/**
 * tcpfo_helper_tcp_begin_path - forget what was learned of the path so far
 * @sk: a full TCP socket, locked by the caller or by the sender below which it runs
 * @cwnd: the congestion window, in segments, unless it is smaller
 *
 * All acknowledgements so far were made on this node, some microseconds after what they
 * acknowledge. A client is farther away: it would be sent its first segments again before it can
 * answer. Until its first answer the time-out is that of a new connection (RFC 6298, section 2.1),
 * also for a timer that runs already, of which a loss probe (RFC 8985, section 7.2) is one.
 */
void tcpfo_helper_tcp_begin_path(struct sock *sk, u32 cwnd)
{
	struct tcp_sock *tp = tcp_sk(sk);

	if (tcp_snd_cwnd(tp) > cwnd)
		tcp_snd_cwnd_set(tp, cwnd);
	tp->srtt_us = 0;
	tp->mdev_us = jiffies_to_usecs(TCP_TIMEOUT_INIT);
	minmax_reset(&tp->rtt_min, tcp_jiffies32, ~0U);
	inet_csk(sk)->icsk_rto = TCP_TIMEOUT_INIT;
	if (tp->packets_out)
		tcp_reset_xmit_timer(sk, ICSK_TIME_RETRANS, TCP_TIMEOUT_INIT, false);
}

/**
 * tcpfo_helper_tcp_raise_cwnd - set the congestion window, unless it is larger
 * @sk: a full TCP socket, locked by the caller or by the sender below which it runs
 * @cwnd: the congestion window, in segments
 */
void tcpfo_helper_tcp_raise_cwnd(struct sock *sk, u32 cwnd)
{
	struct tcp_sock *tp = tcp_sk(sk);

	if (tcp_snd_cwnd(tp) < cwnd)
		tcp_snd_cwnd_set(tp, cwnd);
}

/**
 * tcpfo_helper_tcp_extend_window - offer a window at least as far as an edge
 * @sk: a full TCP socket, locked by the caller
 * @edge: the sequence number behind the window
 *
 * tcp_select_window() does not take back what was offered, and tcp_sequence() accepts it. The
 * receive buffer is made to hold it beside what was not read yet, as it did where it was offered
 * first: else what comes is dropped when the application reads slowly, and the window collapses.
 */
void tcpfo_helper_tcp_extend_window(struct sock *sk, u32 edge)
{
	int most = READ_ONCE(sock_net(sk)->ipv4.sysctl_tcp_rmem[2]);
	struct tcp_sock *tp = tcp_sk(sk);
	s64 space;

	if (!after(edge, tp->rcv_wup + tp->rcv_wnd))
		return;
	tp->rcv_wup = tp->rcv_nxt;
	tp->rcv_wnd = edge - tp->rcv_nxt;
	tcp_update_max_rcv_wnd_seq(tp);

	/* What was fed to it was packed better than what the client will send. */
	space = max_t(s64, tcp_space_from_win(sk, tp->rcv_wnd), 2LL * tp->rcv_wnd);
	space = min_t(s64, space + atomic_read(&sk->sk_rmem_alloc), most);
	if (!(sk->sk_userlocks & SOCK_RCVBUF_LOCK) && sk->sk_rcvbuf < space)
		WRITE_ONCE(sk->sk_rcvbuf, space);
	WRITE_ONCE(tp->window_clamp, max(tp->window_clamp, tp->rcv_wnd));
	tp->rcv_ssthresh = max(tp->rcv_ssthresh, tp->rcv_wnd);
}
