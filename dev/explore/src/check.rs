//! The promises that must hold in every state. They are those that `sim` checks, in a small form.

use crate::{
    Kind,
    automaton::Kept,
    lock::{Id, Lock},
};

/// How long nobody may acquire the lock after a Go program has announced a write, in seconds.
const DEFERENCE: u32 = 2;

/// Who believes to hold the lock, and who must never come back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Check {
    /// When each contender's belief ends, in milliseconds; [`u32::MAX`] for one that believes until
    /// it is told otherwise.
    believers: Vec<Option<u32>>,
    /// The highest token of all, and the highest of exclusive holders.
    highest: u64,
    highest_alone: u64,
    /// Who said that nothing of it is left.
    gone: u64,
    /// Contenders that have seen, since they sent their last creation, that the name was taken. If
    /// the name becomes free again, a creation that is still in flight may be done after all. This
    /// is the one thing that cannot be prevented, and it is documented.
    certain: u64,
    /// Whose creation was done in this way.
    excused: u64,
    /// Since when another program's write is announced.
    reserved: Option<u32>,
}

type Checked = Result<(), String>;

impl Check {
    pub(crate) fn new(contenders: usize) -> Self {
        Self {
            believers: vec![None; contenders],
            highest: 0,
            highest_alone: 0,
            gone: 0,
            certain: 0,
            excused: 0,
            reserved: None,
        }
    }

    /// Somebody acquired the lock.
    pub(crate) fn acquired(
        &mut self,
        kind: Kind,
        id: Id,
        token: Option<u64>,
        until: Option<u32>,
        now: u32,
    ) -> Checked {
        let is_alone = kind.is_alone(id.contender);
        if let Some(other) = self.other_holder(kind, id, now) {
            return Err(format!("{id} acquires the lock while {other} holds it"));
        }
        if let Some(token) = token {
            // Of several holders, one may learn of its write later.
            let before = if is_alone {
                self.highest
            } else {
                self.highest_alone
            };
            if before >= token {
                return Err(format!("{id} gets token {token}, after {before}"));
            }
            self.highest = self.highest.max(token);
            if is_alone {
                self.highest_alone = token;
            }
        }
        self.believe(id, until);
        Ok(())
    }

    pub(crate) fn renewed(&mut self, kind: Kind, id: Id, until: Option<u32>, now: u32) -> Checked {
        if let Some(other) = self.other_holder(kind, id, now) {
            return Err(format!(
                "{id} renews its lease while {other} holds the lock"
            ));
        }
        self.believe(id, until);
        Ok(())
    }

    /// Another holder that believes in the lock and excludes this one.
    fn other_holder(&self, kind: Kind, id: Id, now: u32) -> Option<char> {
        let believers = (0..).zip(&self.believers);
        let mut others = believers.filter(|(other, until)| {
            let excludes = kind.is_alone(id.contender) || kind.is_alone(*other);
            let believes = until.is_some_and(|until| until > now * 1000);
            *other != id.contender && excludes && believes
        });
        let (other, _) = others.next()?;
        Some(char::from(b'a' + other))
    }

    fn believe(&mut self, id: Id, until: Option<u32>) {
        self.believers[usize::from(id.contender)] = Some(until.unwrap_or(u32::MAX));
    }

    pub(crate) fn ended(&mut self, id: Id) {
        self.believers[usize::from(id.contender)] = None;
    }

    /// It said that nothing of it is left.
    pub(crate) fn gone(&mut self, id: Id) {
        self.ended(id);
        self.gone |= id.bit();
    }

    /// It said that something may be left.
    pub(crate) fn may_come_back(&mut self, id: Id) {
        self.ended(id);
        self.gone &= !id.bit();
    }

    /// Checks that it has no lease after it has said so.
    pub(crate) fn left(&self, id: Id, holders: u64) -> Checked {
        if self.gone & holders & !self.excused & id.bit() != 0 {
            return Err(format!("{id} has left, and its lease is there still"));
        }
        Ok(())
    }

    /// It sends a creation.
    pub(crate) fn creates(&mut self, id: Id) {
        self.certain &= !id.bit();
    }

    /// It has seen that the name is taken.
    pub(crate) fn is_certain(&mut self, id: Id) {
        self.certain |= id.bit();
    }

    /// Somebody wrote something over the existing object.
    pub(crate) fn written<L: Lock>(
        &mut self,
        writer: Option<Id>,
        before: u64,
        kept: &Kept<L>,
        now: u32,
    ) -> Checked {
        let new = kept.holders(now) & !before;
        if kept.is_new() {
            self.excused |= new & self.certain;
        }
        if new & self.gone & !self.excused != 0 {
            return Err("a lease comes back of one who has left".to_owned());
        }
        if let (Some(writer), Some(since)) = (writer, self.reserved) {
            let acquires = new & writer.bit() != 0;
            if acquires && now < since + DEFERENCE {
                return Err(format!(
                    "{writer} acquires the lock over a fresh reservation"
                ));
            }
        }
        self.reserved = self.reserved.filter(|_| kept.is_reserved);
        if kept.is_reserved {
            self.reserved.get_or_insert(now);
        }
        Ok(())
    }

    pub(crate) fn deleted(&mut self) {
        self.reserved = None;
    }
}
