// SPDX-License-Identifier: GPL-2.0

//! Who speaks for a service: the decision, without the doing.
//!
//! A node speaks for a service only if it has reason to believe that nobody else does. The channel
//! falling silent is not reason enough, as the channel may be all that is lost: the node also asks
//! for the address on the service's own network, and whoever answers, lives. The same question is
//! put before a node speaks for the first time, and by a node that speaks and has not heard of its
//! peer for so long that the peer may have taken over.
//!
//! The state machine takes times and news and returns what is to be done. It allocates nothing,
//! never sleeps, and also runs in the host's tests.

/// How often the address is asked for before silence is an answer.
const PROBES: u32 = 3;
/// How long each question waits for its answer, in milliseconds.
const PROBE_MS: u64 = 40;
/// How long a round of questions takes, in milliseconds.
const ROUND_MS: u64 = PROBES as u64 * PROBE_MS;
/// How long a node that wants to speak waits when somebody else has the address, in milliseconds.
const OCCUPIED_MS: u64 = 1000;
/// How long the peer has time to say that it speaks, in milliseconds.
const LEAVE_MS: u64 = 1000;
/// After how many of the peer's time-outs a node whose peer lives, but is silent, asks again.
const ASK_AGAIN: u64 = 4;

/// What the operator wants a node to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The node that speaks from the start.
    Primary,
    /// The node that takes over.
    Backup,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Silent: it answers neither for the address nor from the port.
    Standby,
    /// Silent, and about to speak as soon as nobody answers for the address.
    Probing,
    /// It speaks.
    Active,
    /// Silent: it has told its peer to speak, and waits for it to say that it does.
    Leaving,
}

/// Why a node begins to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nobody else does.
    Vacancy,
    /// The peer has spoken before, and is dead.
    Takeover,
    /// The peer has spoken before, and asks for it.
    Handover,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing before the time that comes with it.
    Wait,
    /// Ask for the address.
    Probe,
    /// Somebody else has the address, for now: nothing to be done but to ask again later.
    Occupied,
    /// Speak from now on; if the peer has spoken before, for its connections too.
    Activate(Cause),
    /// The peer is gone: go on without it.
    Alone,
    /// Nobody has taken over: speak again.
    Reassured,
    /// Somebody else speaks: be silent.
    StandDown,
    /// The peer speaks, as it was asked to.
    Left,
    /// The peer is silent but speaks for the service: what is held of its connections is stale.
    PeerLives,
}

/// What is known of the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// For how long nothing was heard of it, in milliseconds; [`None`] if nothing ever was.
    pub(crate) for_ms: Option<u64>,
    /// From when on it counts as lost, in milliseconds.
    pub(crate) limit_ms: u64,
}

/// A round of questions for the address.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    asked: u32,
    next_ms: u64,
    answered: bool,
}

impl Round {
    /// A round whose first question is due at `next_ms`.
    fn not_before(next_ms: u64) -> Self {
        Self {
            next_ms,
            ..Self::default()
        }
    }

    /// Returns whether the next question is due, and counts it.
    fn ask(&mut self, now_ms: u64) -> bool {
        let due = self.asked < PROBES && now_ms >= self.next_ms;
        if due {
            self.asked += 1;
            self.next_ms = now_ms + PROBE_MS;
        }
        due
    }

    /// Returns whether all questions were put and had their time.
    fn is_over(&self, now_ms: u64) -> bool {
        self.asked == PROBES && now_ms >= self.next_ms
    }
}

/// What a node that speaks knows of the other one.
#[derive(Clone, Copy, Debug)]
enum Company {
    /// It has its peer, as far as it has noticed.
    Peer,
    /// It has been going on without it since then, and has not heard of it.
    Alone {
        since_ms: u64,
        /// Whether it has taken over from it.
        took_over: bool,
    },
    /// It was alone, and somebody else was heard: it asks, whatever is known of the peer's silence.
    Somebody { took_over: bool },
}

impl Company {
    /// Returns whether the node has taken over from a peer of which it has not heard since.
    fn took_over(self) -> bool {
        match self {
            Self::Peer => false,
            Self::Alone { took_over, .. } | Self::Somebody { took_over } => took_over,
        }
    }
}

/// The state of one service on one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ownership {
    role: Role,
    state: State,
    /// The highest epoch known of; the node's own while it speaks.
    epoch: u64,
    round: Round,
    /// Whether the peer was last heard to speak for the service.
    peer_active: bool,
    /// Whether the node may have been asleep while its peer took over.
    in_doubt: bool,
    company: Company,
    /// Whether the peer has asked this node to speak in its place.
    asked_to_speak: bool,
    /// Whether the role is off.
    is_retired: bool,
    /// Until when the peer has time to say that it speaks.
    leave_until_ms: u64,
}

impl Ownership {
    /// Creates the state of a service that has just been given `role`.
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            state: match role {
                Role::Primary => State::Probing,
                Role::Backup => State::Standby,
            },
            epoch: 0,
            round: Round::default(),
            peer_active: false,
            in_doubt: false,
            company: Company::Peer,
            asked_to_speak: false,
            is_retired: false,
            leave_until_ms: 0,
        }
    }

    /// Returns what the operator wants.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Returns what the node is.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Returns whether the node is asking whether it may speak on.
    pub(crate) fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Returns the highest epoch known of.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns whether the peer was last heard to speak for the service.
    pub(crate) fn peer_active(&self) -> bool {
        self.peer_active
    }

    /// Somebody else has answered for the address. What nobody has asked for is no answer; but a node
    /// that has been going on alone, and hears of another one at `now_ms`, asks once more.
    ///
    /// One that has taken over leaves the other one the time to ask first, and to fall silent: not both are
    /// to do so. `rank_ms` is how much more, different on the two of them, as both may have taken over.
    pub(crate) fn answered(&mut self, now_ms: u64, rank_ms: u64) {
        let speaks = self.state == State::Active && !self.in_doubt;
        match self.company {
            Company::Alone { took_over, .. } if speaks => {
                self.company = Company::Somebody { took_over };
                let patience_ms = if took_over { OCCUPIED_MS + rank_ms } else { 0 };
                self.round = Round::not_before(now_ms + patience_ms);
            }
            _ => self.round.answered |= self.round.asked > 0,
        }
    }

    /// The question that an [`Action::Probe`] is could not be put at `now_ms`: a node that is silent goes on to be
    /// so, and begins a new round when the network has had the time to be there again. One that speaks reaches
    /// nobody anyhow, and goes on as if nobody had answered.
    pub(crate) fn not_asked(&mut self, now_ms: u64) {
        if self.state != State::Active || self.in_doubt {
            self.round = Round::not_before(now_ms + OCCUPIED_MS);
        }
    }

    /// The node may have been asleep for long enough that the peer has taken over. Returns whether
    /// it speaks, and so has to be silent until [`Action::Reassured`].
    pub(crate) fn doubt(&mut self) -> bool {
        // One that leaves is silent already, and is to remain so if its peer does not speak.
        let may_speak = matches!(self.state, State::Active | State::Leaving);
        let news = may_speak && !self.in_doubt;
        if news {
            self.in_doubt = true;
            self.round = Round::default();
        }
        news && self.state == State::Active
    }

    /// The node is to be silent from `now_ms` on and have its peer speak. Returns whether it spoke, and
    /// so has to tell the peer.
    pub(crate) fn leave(&mut self, now_ms: u64) -> bool {
        let leaves = self.state == State::Active && !self.in_doubt && !self.is_retired;
        if leaves {
            self.state = State::Leaving;
            self.leave_until_ms = now_ms + LEAVE_MS;
        }
        leaves
    }

    /// The peer could not be told: the node speaks on.
    /// Returns whether it does: the peer may have spoken up all the same.
    pub(crate) fn stay(&mut self) -> bool {
        let stays = self.state == State::Leaving;
        if stays {
            self.state = State::Active;
        }
        stays
    }

    /// The role is off: who still asks what is to be done has nothing to do any more.
    pub(crate) fn retire(&mut self) {
        self.is_retired = true;
    }

    /// Returns whether the role is off.
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// A session has begun or ended: what the peer has asked for in another one is void.
    pub(crate) fn session_changed(&mut self) {
        self.asked_to_speak = false;
    }

    /// The peer does not speak any more, and wants this node to.
    pub(crate) fn handed_over(&mut self) {
        self.asked_to_speak = matches!(self.state, State::Standby | State::Probing);
    }

    /// The peer says whether it speaks, and the highest epoch that it knows of. `outranks` decides
    /// between two nodes that speak in the same epoch, and must be false on one of them.
    pub(crate) fn peer_says(&mut self, active: bool, epoch: u64, outranks: bool) -> Action {
        let behind = epoch > self.epoch || (epoch == self.epoch && outranks);
        self.peer_active = active;
        self.epoch = self.epoch.max(epoch);
        if active {
            match self.state {
                State::Probing => self.stand_down(),
                State::Active if behind => {
                    self.stand_down();
                    return Action::StandDown;
                }
                State::Leaving if behind => {
                    self.stand_down();
                    return Action::Left;
                }
                _ => {}
            }
        }
        if !active && self.state == State::Standby && self.role == Role::Primary {
            self.state = State::Probing;
        }
        Action::Wait
    }

    /// Returns what is to be done at `now_ms`, and by when to ask again.
    pub(crate) fn poll(&mut self, now_ms: u64, silence: Silence) -> (Action, u64) {
        match self.state {
            _ if self.is_retired => (Action::Wait, u64::MAX),
            _ if self.asked_to_speak => (self.activate(Cause::Handover, now_ms), now_ms),
            State::Probing => self.poll_probing(now_ms),
            State::Leaving => self.poll_leaving(now_ms),
            State::Standby if !self.peer_active => (Action::Wait, u64::MAX),
            State::Standby => self.poll_silence(now_ms, silence, Self::peer_gone),
            State::Active if self.in_doubt => self.poll_doubt(now_ms),
            State::Active if self.is_alone(now_ms, silence) => (Action::Wait, u64::MAX),
            State::Active => {
                // What was answered, or not, before the peer was heard is no answer any more.
                if matches!(self.company, Company::Alone { .. }) {
                    self.round = Round::default();
                    self.company = Company::Peer;
                }
                self.poll_silence(now_ms, silence, Self::go_on_alone)
            }
        }
    }

    fn poll_probing(&mut self, now_ms: u64) -> (Action, u64) {
        if self.round.ask(now_ms) {
            return (Action::Probe, self.round.next_ms);
        }
        if !self.round.is_over(now_ms) {
            return (Action::Wait, self.round.next_ms);
        }
        if self.round.answered {
            self.round = Round::not_before(now_ms + OCCUPIED_MS);
            return (Action::Occupied, self.round.next_ms);
        }
        (self.activate(Cause::Vacancy, now_ms), now_ms)
    }

    /// A peer that does not say that it speaks may do so all the same.
    fn poll_leaving(&mut self, now_ms: u64) -> (Action, u64) {
        if now_ms >= self.leave_until_ms {
            self.state = State::Active;
            self.doubt();
            return (Action::Wait, now_ms);
        }
        (Action::Wait, self.leave_until_ms)
    }

    fn poll_doubt(&mut self, now_ms: u64) -> (Action, u64) {
        if self.round.ask(now_ms) {
            return (Action::Probe, self.round.next_ms);
        }
        if !self.round.is_over(now_ms) {
            return (Action::Wait, self.round.next_ms);
        }
        self.in_doubt = false;
        if self.round.answered {
            self.stand_down();
            self.peer_active = true;
            return (Action::StandDown, now_ms);
        }
        self.round = Round::default();
        (Action::Reassured, now_ms)
    }

    /// Watches the peer's silence, and calls `lost` when it has lasted too long and a round of
    /// questions is over.
    fn poll_silence(
        &mut self,
        now_ms: u64,
        silence: Silence,
        lost: fn(&mut Self, u64, Silence) -> Action,
    ) -> (Action, u64) {
        let for_ms = match silence.for_ms {
            Some(for_ms) => for_ms,
            None if matches!(self.company, Company::Somebody { .. }) => u64::MAX,
            None => return (Action::Wait, u64::MAX),
        };
        // The questions are put while the silence is still short enough, so that they cost no time.
        let suspect_ms = silence.limit_ms.saturating_sub(ROUND_MS);
        if for_ms < suspect_ms {
            self.round = Round::default();
            self.company = Company::Peer;
            return (Action::Wait, now_ms + (suspect_ms - for_ms));
        }
        if self.round.ask(now_ms) {
            return (Action::Probe, self.round.next_ms);
        }
        if self.round.is_over(now_ms) && for_ms >= silence.limit_ms {
            return (lost(self, now_ms, silence), now_ms);
        }
        let limit = now_ms + silence.limit_ms.saturating_sub(for_ms);
        (Action::Wait, self.round.next_ms.max(limit))
    }

    fn peer_gone(&mut self, now_ms: u64, silence: Silence) -> Action {
        if !self.round.answered {
            return self.activate(Cause::Takeover, now_ms);
        }
        self.round = Round::not_before(now_ms + ASK_AGAIN * silence.limit_ms);
        Action::PeerLives
    }

    fn go_on_alone(&mut self, now_ms: u64, _silence: Silence) -> Action {
        if self.round.answered {
            self.stand_down();
            self.peer_active = true;
            return Action::StandDown;
        }
        self.company = Company::Alone {
            since_ms: now_ms,
            took_over: self.company.took_over(),
        };
        Action::Alone
    }

    /// Returns whether the peer was not heard since the node has been going on without it.
    fn is_alone(&self, now_ms: u64, silence: Silence) -> bool {
        let Company::Alone { since_ms, .. } = self.company else {
            return false;
        };
        silence
            .for_ms
            .is_none_or(|ms| now_ms.saturating_sub(ms) <= since_ms)
    }

    fn activate(&mut self, cause: Cause, now_ms: u64) -> Action {
        self.state = State::Active;
        self.in_doubt = false;
        self.epoch = self.epoch.saturating_add(1);
        self.round = Round::default();
        self.peer_active = false;
        self.company = match cause {
            Cause::Takeover => Company::Alone {
                since_ms: now_ms,
                took_over: true,
            },
            Cause::Vacancy | Cause::Handover => Company::Peer,
        };
        self.asked_to_speak = false;
        Action::Activate(cause)
    }

    fn stand_down(&mut self) {
        self.state = State::Standby;
        self.asked_to_speak = false;
        self.company = Company::Peer;
        self.round = Round::default();
    }
}

#[cfg(any(test, CONFIG_KUNIT))]
#[cfg_attr(CONFIG_KUNIT, kernel::macros::kunit_tests(tcp_failover_ownership))]
mod tests {
    use super::*;

    const LIMIT: u64 = 500;
    /// When somebody answers, where that does not matter.
    const NOW: u64 = 0;

    fn silent(for_ms: u64) -> Silence {
        Silence {
            for_ms: Some(for_ms),
            limit_ms: LIMIT,
        }
    }

    const NEVER_HEARD: Silence = Silence {
        for_ms: None,
        limit_ms: LIMIT,
    };

    /// A node that has gone through its first round unanswered.
    fn active() -> Ownership {
        let mut o = Ownership::new(Role::Primary);
        let mut now = 0;
        for _ in 0..PROBES {
            let (action, next) = o.poll(now, NEVER_HEARD);
            assert_eq!(action, Action::Probe);
            now = next;
        }
        assert_eq!(o.poll(now, NEVER_HEARD).0, Action::Activate(Cause::Vacancy));
        assert_eq!((o.state(), o.epoch()), (State::Active, 1));
        o
    }

    /// A node that stands by for a peer that speaks.
    fn standby() -> Ownership {
        let mut o = Ownership::new(Role::Backup);
        assert_eq!(o.peer_says(true, 1, false), Action::Wait);
        o
    }

    /// Polls a node whose peer was last heard at 0 until there is something to do but ask.
    fn until_decided(o: &mut Ownership) -> (Action, u64) {
        let mut now = 1;
        loop {
            let (action, next) = o.poll(now, silent(now));
            if !matches!(action, Action::Wait | Action::Probe) {
                return (action, now);
            }
            assert!(next > now);
            now = next;
        }
    }

    #[test]
    fn a_primary_speaks_only_if_nobody_else_does() {
        active();
        let mut o = Ownership::new(Role::Primary);
        o.poll(0, NEVER_HEARD);
        o.answered(NOW, 0);
        o.poll(100, NEVER_HEARD);
        o.poll(200, NEVER_HEARD);
        assert_eq!(
            o.poll(300, NEVER_HEARD),
            (Action::Occupied, 300 + OCCUPIED_MS)
        );
        assert_eq!(o.state(), State::Probing);
        assert_eq!(o.poll(400, NEVER_HEARD), (Action::Wait, 300 + OCCUPIED_MS));
        // It asks again, and speaks when nobody answers any more.
        let mut now = 300 + OCCUPIED_MS;
        for _ in 0..PROBES {
            assert_eq!(o.poll(now, NEVER_HEARD).0, Action::Probe);
            now += PROBE_MS;
        }
        assert_eq!(o.poll(now, NEVER_HEARD).0, Action::Activate(Cause::Vacancy));
    }

    #[test]
    fn a_primary_that_hears_of_another_one_before_it_speaks_stays_silent() {
        let mut o = Ownership::new(Role::Primary);
        o.poll(0, NEVER_HEARD);
        assert_eq!(o.peer_says(true, 4, false), Action::Wait);
        assert_eq!((o.state(), o.epoch()), (State::Standby, 4));
        o.peer_says(false, 4, false);
        assert_eq!(o.state(), State::Probing);
    }

    #[test]
    fn a_standby_takes_over_from_a_dead_peer_within_the_limit() {
        let mut o = standby();
        assert_eq!(
            until_decided(&mut o),
            (Action::Activate(Cause::Takeover), LIMIT)
        );
        assert_eq!((o.state(), o.epoch()), (State::Active, 2));
        // Once, and not again while the peer stays dead.
        assert_eq!(
            o.poll(LIMIT + 1, silent(LIMIT + 1)),
            (Action::Wait, u64::MAX)
        );
    }

    #[test]
    fn a_standby_leaves_a_peer_alone_that_answers_for_the_address() {
        let mut o = standby();
        o.poll(450, silent(450));
        o.answered(NOW, 0);
        o.poll(490, silent(490));
        o.poll(530, silent(530));
        let (action, again) = o.poll(570, silent(570));
        assert_eq!((action, o.state()), (Action::PeerLives, State::Standby));
        assert_eq!(o.poll(again, silent(600)).0, Action::Wait);
        // It asks again, and takes the address when nobody answers any more.
        let mut now = 570 + ASK_AGAIN * LIMIT;
        for _ in 0..PROBES {
            assert_eq!(o.poll(now, silent(now)).0, Action::Probe);
            now += PROBE_MS;
        }
        assert_eq!(
            o.poll(now, silent(now)).0,
            Action::Activate(Cause::Takeover)
        );
    }

    #[test]
    fn silence_is_no_answer_to_what_could_not_be_asked() {
        let mut o = standby();
        let mut now = 1;
        while now < 100 * LIMIT {
            let (action, next) = o.poll(now, silent(now));
            match action {
                Action::Probe => o.not_asked(now),
                action => assert_eq!(action, Action::Wait),
            }
            now = next;
        }
        assert_eq!(o.state(), State::Standby);
    }

    #[test]
    fn a_standby_that_has_never_heard_of_a_speaker_never_speaks() {
        let mut o = Ownership::new(Role::Backup);
        assert_eq!(o.poll(0, NEVER_HEARD), (Action::Wait, u64::MAX));
        assert_eq!(o.poll(9000, silent(9000)), (Action::Wait, u64::MAX));
        o.peer_says(false, 0, true);
        assert_eq!(o.poll(9000, silent(9000)), (Action::Wait, u64::MAX));
    }

    #[test]
    fn a_sign_of_life_ends_the_suspicion() {
        let mut o = standby();
        o.poll(450, silent(450));
        let (action, next) = o.poll(460, silent(10));
        assert_eq!((action, next), (Action::Wait, 460 + LIMIT - ROUND_MS - 10));
        assert_eq!(o.poll(940, silent(490)).0, Action::Probe);
    }

    #[test]
    fn a_speaker_goes_on_alone_unless_somebody_answers() {
        let mut o = active();
        assert_eq!(o.poll(0, NEVER_HEARD), (Action::Wait, u64::MAX));
        assert_eq!(until_decided(&mut o), (Action::Alone, LIMIT));
        assert_eq!(
            o.poll(LIMIT + 1, silent(LIMIT + 1)),
            (Action::Wait, u64::MAX)
        );

        let mut o = active();
        o.poll(450, silent(450));
        o.answered(NOW, 0);
        o.poll(490, silent(490));
        o.poll(530, silent(530));
        assert_eq!(o.poll(570, silent(570)).0, Action::StandDown);
        assert_eq!(o.state(), State::Standby);
    }

    #[test]
    fn a_speaker_that_was_asleep_asks_before_it_speaks_again() {
        let mut o = active();
        assert!(o.doubt());
        assert!(!o.doubt());
        let mut now = 1000;
        for _ in 0..PROBES {
            assert_eq!(o.poll(now, silent(10)).0, Action::Probe);
            now += PROBE_MS;
        }
        let mut superseded = o;
        assert_eq!(o.poll(now, silent(10)).0, Action::Reassured);
        assert_eq!(o.state(), State::Active);
        superseded.answered(NOW, 0);
        assert_eq!(superseded.poll(now, silent(10)).0, Action::StandDown);
        assert!(!standby().doubt());
    }

    /// Has all questions put from `now` on, and each answered.
    fn asks_and_is_answered(o: &mut Ownership, mut now: u64) {
        for _ in 0..PROBES {
            assert_eq!(o.poll(now, silent(now)).0, Action::Probe);
            o.answered(now, 0);
            now += PROBE_MS;
        }
        assert_eq!(o.poll(now, silent(now)).0, Action::StandDown);
    }

    #[test]
    fn one_that_goes_on_alone_asks_when_it_hears_of_another() {
        let mut o = active();
        assert_eq!(until_decided(&mut o), (Action::Alone, LIMIT));
        o.answered(9000, 300);
        asks_and_is_answered(&mut o, 9000);
        // The one that has taken over leaves that to the other one, if it does.
        let mut o = standby();
        until_decided(&mut o);
        o.answered(9000, 300);
        let later = 9000 + OCCUPIED_MS + 300;
        assert_eq!(o.poll(9001, silent(9001)), (Action::Wait, later));
        o.answered(9001, 300);
        asks_and_is_answered(&mut o, later);
    }

    #[test]
    fn one_that_speaks_and_cannot_ask_goes_on_unless_it_is_in_doubt() {
        let mut o = active();
        let mut now = 450;
        for _ in 0..PROBES {
            assert_eq!(o.poll(now, silent(now)).0, Action::Probe);
            o.not_asked(now);
            now += PROBE_MS;
        }
        assert_eq!(o.poll(now, silent(now)).0, Action::Alone);
        assert!(o.doubt());
        assert_eq!(o.poll(now, silent(10)).0, Action::Probe);
        o.not_asked(now);
        assert_eq!(o.poll(now, silent(10)), (Action::Wait, now + OCCUPIED_MS));
        assert!(o.in_doubt());
    }

    #[test]
    fn one_whose_channel_is_disabled_asks_all_the_same() {
        let mut o = active();
        until_decided(&mut o);
        o.answered(9000, 0);
        let mut answered = o;
        let mut now = 9000;
        for _ in 0..PROBES {
            assert_eq!(answered.poll(now, NEVER_HEARD).0, Action::Probe);
            answered.answered(now, 0);
            now += PROBE_MS;
        }
        assert_eq!(answered.poll(now, NEVER_HEARD).0, Action::StandDown);
        // It stands by, and without a channel it does not take over.
        assert_eq!(answered.poll(now, NEVER_HEARD), (Action::Wait, u64::MAX));
        now = 9000;
        for _ in 0..PROBES {
            assert_eq!(o.poll(now, NEVER_HEARD).0, Action::Probe);
            now += PROBE_MS;
        }
        assert_eq!(o.poll(now, NEVER_HEARD).0, Action::Alone);
        assert_eq!(o.poll(now, NEVER_HEARD), (Action::Wait, u64::MAX));
    }

    #[test]
    fn a_peer_that_was_heard_in_between_is_lost_once_more() {
        let mut o = active();
        assert_eq!(until_decided(&mut o), (Action::Alone, LIMIT));
        // At 600, which nobody has noticed.
        let mut now = 1000;
        for _ in 0..PROBES {
            assert_eq!(o.poll(now, silent(now - 600)).0, Action::Probe);
            now += PROBE_MS;
        }
        assert_eq!(o.poll(now, silent(now - 600)).0, Action::Alone);
    }

    #[test]
    fn a_doubt_outlives_a_handover_that_could_not_be_told() {
        let mut o = active();
        assert!(o.leave(1000));
        // It is silent already.
        assert!(!o.doubt());
        assert!(o.stay());
        assert!(o.in_doubt());
        assert_eq!(o.poll(1001, silent(1)).0, Action::Probe);
    }

    #[test]
    fn a_node_that_leaves_is_silent_until_its_peer_speaks() {
        let mut o = active();
        assert!(o.leave(1000));
        assert!(!o.leave(1000));
        assert_eq!(o.state(), State::Leaving);
        assert_eq!(o.poll(1001, silent(1)), (Action::Wait, 1000 + LEAVE_MS));
        assert_eq!(o.peer_says(false, 1, true), Action::Wait);
        assert_eq!(o.peer_says(true, 2, false), Action::Left);
        assert_eq!((o.state(), o.peer_active()), (State::Standby, true));
    }

    #[test]
    fn a_node_whose_peer_does_not_speak_asks_and_speaks_again() {
        let mut o = active();
        assert!(o.leave(1000));
        let mut now = 1000 + LEAVE_MS;
        assert_eq!(o.poll(now, silent(1)), (Action::Wait, now));
        for _ in 0..PROBES {
            assert_eq!(o.poll(now, silent(1)).0, Action::Probe);
            now += PROBE_MS;
        }
        assert_eq!(o.poll(now, silent(1)).0, Action::Reassured);
        assert_eq!((o.state(), o.epoch()), (State::Active, 1));
        // If it could not even be told, nothing has happened.
        assert!(o.leave(now));
        assert!(o.stay());
        assert_eq!(o.state(), State::Active);
        assert!(!o.stay());
    }

    #[test]
    fn a_standby_that_is_asked_to_speaks_at_once() {
        let mut o = standby();
        o.handed_over();
        assert_eq!(o.poll(1, silent(1)).0, Action::Activate(Cause::Handover));
        assert_eq!((o.state(), o.epoch()), (State::Active, 2));
        // Only a standby can be asked to.
        o.handed_over();
        assert_eq!(o.peer_says(true, 3, false), Action::StandDown);
        assert_eq!(o.poll(2, silent(2)).0, Action::Wait);
    }

    #[test]
    fn one_that_is_retired_does_nothing_any_more() {
        let mut o = standby();
        o.handed_over();
        o.retire();
        assert!(o.is_retired());
        assert_eq!(o.poll(9000, silent(9000)), (Action::Wait, u64::MAX));
        assert_eq!(o.state(), State::Standby);
    }

    #[test]
    fn a_claim_that_nobody_asked_for_is_no_answer() {
        let mut o = standby();
        o.poll(1, silent(1));
        o.answered(NOW, 0);
        assert_eq!(
            until_decided(&mut o),
            (Action::Activate(Cause::Takeover), LIMIT)
        );
    }

    #[test]
    fn of_two_speakers_the_one_of_the_lower_epoch_stands_down() {
        let mut o = active();
        assert_eq!(o.peer_says(true, 2, false), Action::StandDown);
        assert_eq!((o.state(), o.epoch()), (State::Standby, 2));

        let mut winner = active();
        assert_eq!(winner.peer_says(true, 1, false), Action::Wait);
        let mut loser = active();
        assert_eq!(loser.peer_says(true, 1, true), Action::StandDown);
        assert_eq!(winner.peer_says(false, 9, true), Action::Wait);
    }
}
