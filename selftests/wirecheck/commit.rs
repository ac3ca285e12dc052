// SPDX-License-Identifier: GPL-2.0

//! I4, input commit: at no time has a client an acknowledgement of what the backup does not hold.
//!
//! Two captures are laid side by side, the client's and the channel's, which have to be made with the
//! same clock. An acknowledgement that the primary sends must not be beyond what the backup had
//! confirmed by then, and the backup must not have confirmed what had not come.
//!
//! It does not know of peers that count as silent: while one does, acknowledgements may run ahead.

use std::{
    collections::{
        BTreeMap,
        HashMap, //
    },
    net::IpAddr, //
};

use crate::{
    channel::{
        Event,
        Name,
        Record,
        Said, //
    },
    packet::{
        Flags,
        Mac,
        Segment,
        Seq, //
    },
    pcap::Time, //
};

/// What the backup has of one connection.
#[derive(Clone, Debug)]
struct Backup {
    incarnation: Seq,
    /// All offsets below have come.
    held: u64,
    /// What came behind a gap: from where to where.
    early: BTreeMap<u64, u64>,
    /// All offsets below were confirmed.
    confirmed: u64,
    /// Who logs the connection: its address on the channel.
    primary: IpAddr,
    /// What its client had an acknowledgement of before the backup was told of it, or while it was still
    /// being told: until the backup has caught up with that, the connection is not protected by what
    /// it has.
    before: Option<Seq>,
}

/// What is wrong.
pub(crate) type Wrong = String;

/// The backup, as far as the channel's capture has been followed.
#[derive(Debug, Default)]
pub(crate) struct Commit<'a> {
    events: &'a [Event],
    backups: HashMap<Name, Backup>,
    /// Who serves what it logs: the first one to say something on such a connection.
    servers: HashMap<IpAddr, Mac>,
    /// The last acknowledgement of each connection.
    acknowledged: HashMap<Name, Seq>,
    /// How many segments of the primary were held against what the backup had confirmed.
    pub(crate) checked: usize,
}

impl Backup {
    fn new(incarnation: Seq, primary: IpAddr, before: Option<Seq>) -> Self {
        Self {
            incarnation,
            held: 1,
            early: BTreeMap::new(),
            confirmed: 0,
            primary,
            before,
        }
    }

    /// What lies between these offsets has come.
    fn add(&mut self, from: u64, to: u64) {
        let known = self.early.entry(from).or_insert(to);
        *known = to.max(*known);
        while let Some((&from, &to)) = self.early.first_key_value() {
            if from > self.held {
                break;
            }
            self.held = self.held.max(to);
            self.early.pop_first();
        }
    }

    /// How far `ack` is beyond what was confirmed; not positive if it is not.
    fn is_ahead_by(&self, ack: Seq) -> i64 {
        // CAST: modulo 2^32, as sequence numbers are.
        ack.beyond(self.incarnation.add(self.confirmed as u32))
    }
}

impl<'a> Commit<'a> {
    pub(crate) fn new(events: &'a [Event]) -> Self {
        Self {
            events,
            ..Self::default()
        }
    }

    /// Another connection of that name begins.
    pub(crate) fn begins(&mut self, name: Name) {
        self.acknowledged.remove(&name);
        self.backups.remove(&name);
    }

    /// Follows the channel until `now`.
    pub(crate) fn advance(&mut self, now: Time, wrong: &mut dyn FnMut(Name, Wrong)) {
        while let Some((event, rest)) = self.events.split_first() {
            if event.time > now {
                break;
            }
            self.events = rest;
            match event.record {
                Record::Hello => self.backups.clear(),
                Record::About(name, incarnation, said) => {
                    if let Some(what) = self.hear(event.sender, name, incarnation, said) {
                        let packet = event.packet;
                        wrong(name, format!("{what} (packet {packet} of the channel)"));
                    }
                }
            }
        }
    }

    fn hear(&mut self, sender: IpAddr, name: Name, incarnation: Seq, said: Said) -> Option<Wrong> {
        if said == Said::Open {
            let before = self.acknowledged.get(&name).copied();
            self.backups
                .insert(name, Backup::new(incarnation, sender, before));
            return None;
        }
        let backup = self
            .backups
            .get_mut(&name)
            .filter(|backup| backup.incarnation == incarnation)?;
        match said {
            Said::Open => {}
            Said::Data(from, to) => backup.add(from, to),
            Said::Close | Said::Confirm(0) => {
                self.backups.remove(&name);
            }
            Said::Confirm(upto) => {
                backup.confirmed = backup.confirmed.max(upto);
                backup.before = backup.before.filter(|&ack| backup.is_ahead_by(ack) > 0);
                let (held, more) = (backup.held, upto.saturating_sub(backup.held));
                if more > 0 {
                    return Some(format!(
                        "the backup confirms {upto} and holds {held}: {more} more than it has"
                    ));
                }
            }
        }
        None
    }

    /// `mac` sends a segment of the service on the connection `name`.
    pub(crate) fn server_sent(
        &mut self,
        name: Name,
        mac: Mac,
        segment: Segment<'_>,
    ) -> Option<Wrong> {
        let ack = segment.ack.filter(|_| !segment.flags.has(Flags::RST))?;
        let last = self.acknowledged.entry(name).or_insert(ack);
        if ack.beyond(*last) > 0 {
            *last = ack;
        }
        let last = *last;
        let backup = self.backups.get_mut(&name)?;
        if *self.servers.entry(backup.primary).or_insert(mac) != mac {
            // Whoever has taken over serves it from what it holds.
            self.backups.remove(&name);
            return None;
        }
        if backup.before.is_some() {
            backup.before = Some(last);
            return None;
        }
        self.checked += 1;
        let ahead = backup.is_ahead_by(ack);
        let confirmed = backup.confirmed;
        (ahead > 0).then(|| {
            format!(
                "{mac} acknowledges {ahead} more than the backup has confirmed, which is {confirmed}"
            )
        })
    }
}
