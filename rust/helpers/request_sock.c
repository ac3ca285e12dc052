// SPDX-License-Identifier: GPL-2.0

#include <net/inet_sock.h>
#include <net/request_sock.h>
#include <net/tcp.h>

static struct request_sock *tcpfo_request(const struct sk_buff *skb)
{
	struct sock *sk = skb->sk;

	if (!sk || sk->sk_state != TCP_NEW_SYN_RECV)
		return NULL;
	return inet_reqsk(sk);
}

/**
 * tcpfo_helper_request_read - read the connection request that a SYN-ACK answers
 * @skb: the SYN-ACK, on its way out
 * @out: where to
 *
 * Return: false if there is none: a SYN cookie, or data in the SYN (TCP Fast Open)
 */
bool tcpfo_helper_request_read(const struct sk_buff *skb, struct tcpfo_request *out)
{
	const struct request_sock *req = tcpfo_request(skb);
	const struct tcp_request_sock *treq;
	const struct inet_request_sock *ireq;

	if (!req)
		return false;
	ireq = inet_rsk(req);
	treq = tcp_rsk(req);
	*out = (struct tcpfo_request) {
		.iss = treq->snt_isn,
		.irs = treq->rcv_isn,
		.window = req->rsk_rcv_wnd,
		.ts_off = treq->ts_off,
		.tsval = treq->snt_tsval_last,
		.client_tsval = req->ts_recent,
		.client_mss = req->mss,
		.client_wscale = ireq->wscale_ok ? ireq->snd_wscale : 0,
		.wscale = ireq->wscale_ok ? ireq->rcv_wscale : 0,
		.wscale_ok = ireq->wscale_ok,
		.tstamp_ok = ireq->tstamp_ok,
		.sack_ok = ireq->sack_ok,
		.ecn_ok = ireq->ecn_ok,
		.usec_ts = treq->req_usec_ts,
		.special = treq->is_mptcp || treq->accecn_ok || tcp_rsk_used_ao(req),
	};
	return true;
}

/**
 * tcpfo_helper_request_write - give a connection request the numbers of another one
 * @skb: the SYN-ACK that answers it, on its way out
 * @in: iss, wscale, window and tsval are taken; the rest is the client's and is the same
 *
 * The socket made from the request takes these numbers over, and the client's acknowledgment is
 * checked against them: tcp_check_req(), tcp_create_openreq_child().
 *
 * Return: false if there is none
 */
bool tcpfo_helper_request_write(const struct sk_buff *skb, const struct tcpfo_request *in)
{
	struct request_sock *req = tcpfo_request(skb);
	struct tcp_request_sock *treq;

	if (!req)
		return false;
	treq = tcp_rsk(req);
	treq->snt_isn = in->iss;
	inet_rsk(req)->rcv_wscale = in->wscale;
	if (req->rsk_rcv_wnd < in->window)
		req->rsk_rcv_wnd = in->window;
	if (inet_rsk(req)->tstamp_ok) {
		treq->ts_off += in->tsval - treq->snt_tsval_last;
		treq->snt_tsval_first = in->tsval;
		treq->snt_tsval_last = in->tsval;
	}
	return true;
}
