//! The queue as its object shows it, from one state to the next.

#[cfg(test)]
mod tests;

use std::{iter, ops::Range};

use coord_core::BootInstant;
use serde_json::value::RawValue;

use super::{QUEUE, Queue, Waiter};
use crate::{members::GROUP, store::Object};

/// The queue as it was last read, and since when each place has been there.
///
/// All who wait read each state of a queue, and in a long one little changes from one to the next.
/// So only what is new in the text is parsed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    queue: Queue,
    /// When each place was first seen as it is, in the order of the queue.
    since: Vec<BootInstant>,
    /// The text that was read; empty if the next one cannot build on it.
    text: String,
    /// Where each waiter stands in the text.
    ranges: Vec<Range<usize>>,
}

/// What is different in a later text.
struct Change {
    /// The waiters that were there.
    replaced: Range<usize>,
    /// Those that are there now, each with where it stands.
    new: Vec<(Waiter, Range<usize>)>,
}

impl Queue {
    /// Reads the queue in this object, as [`Seen::read`] does.
    pub(crate) fn read(object: &Object) -> Self {
        let mut seen = Seen::default();
        seen.read(Some(object), BootInstant::now());
        seen.queue
    }
}

impl Seen {
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// A waiter, and since when it has its place as it is.
    pub(crate) fn place(&self, position: usize) -> Option<(&Waiter, BootInstant)> {
        Some((
            self.queue.waiters.get(position)?,
            *self.since.get(position)?,
        ))
    }

    /// The waiters, each with the moment when its place stops counting, unless it is written again.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Waiter, BootInstant)> {
        let places = iter::zip(&self.queue.waiters, &self.since);
        places.map(|(waiter, since)| (waiter, *since + waiter.length()))
    }

    /// The queue without the places that no longer count.
    pub(crate) fn living(&self, now: BootInstant) -> Queue {
        let living = self.places().filter(|(_, end)| *end > now);
        Queue {
            waiters: living.map(|(waiter, _)| waiter.clone()).collect(),
        }
    }

    /// Reads the queue's current state. An unreadable queue counts as empty, and is dropped by the
    /// next write. So is a waiter whose ID no holder can have.
    pub(crate) fn read(&mut self, object: Option<&Object>, now: BootInstant) {
        let text = object.and_then(|object| object.annotations.get(QUEUE));
        let text = text.map_or("", String::as_str);
        if text == self.text && !text.is_empty() {
            return;
        }
        let all = || {
            let replaced = 0..self.since.len();
            waiters(text, 0).map(|new| Change { replaced, new })
        };
        match self.change(text).or_else(all) {
            Some(change) => self.apply(change, text, now),
            None => *self = Self::default(),
        }
    }

    /// Finds what is different. None if that cannot be told without the rest of the text.
    fn change(&self, text: &str) -> Option<Change> {
        if self.text.is_empty() {
            return None;
        }
        let old = self.text.as_str();
        let is_same = |old: &str, at: Range<usize>| text.get(at) == Some(old);
        // The waiters at the start and at the end that stand there as before.
        let (mut from, mut begin) = (0, 0);
        for range in &self.ranges {
            if !is_same(&old[begin..range.end], begin..range.end) {
                break;
            }
            (from, begin) = (from + 1, range.end);
        }
        let (mut to, mut end) = (self.ranges.len(), text.len());
        for range in self.ranges[from..].iter().rev() {
            let length = old.len() - (text.len() - end) - range.start;
            let Some(start) = end.checked_sub(length).filter(|start| *start >= begin) else {
                break;
            };
            if !is_same(&old[range.start..range.start + length], start..end) {
                break;
            }
            (to, end) = (to - 1, start);
        }
        let (follows, precedes) = (from > 0, to < self.ranges.len());
        let alone = match (follows, precedes) {
            (true, true) => ",",
            (true, false) => "]",
            (false, true) => "[",
            (false, false) => return None,
        };
        let between = &text[begin..end];
        let new = if between == alone {
            Vec::new()
        } else {
            let inner = between.strip_prefix(if follows { ',' } else { '[' })?;
            let inner = inner.strip_suffix(if precedes { ',' } else { ']' })?;
            let new = waiters(&format!("[{inner}]"), begin)?;
            (!new.is_empty()).then_some(new)?
        };
        Some(Change {
            replaced: from..to,
            new,
        })
    }

    fn apply(&mut self, Change { replaced, new }: Change, text: &str, now: BootInstant) {
        let since = self.since.drain(replaced.clone());
        let old: Vec<_> = iter::zip(self.queue.waiters.drain(replaced.clone()), since).collect();
        let first_seen = |waiter: &Waiter| {
            let known = old.iter().find(|(known, _)| known.nonce == waiter.nonce);
            known.map_or(now, |(_, since)| *since)
        };
        let count = new.len();
        let may_hold = |(waiter, _): &(Waiter, _)| !waiter.id.is_empty() && waiter.id != GROUP;
        let (new, ranges): (Vec<_>, Vec<_>) = new.into_iter().filter(may_hold).unzip();
        let (at, behind) = (replaced.start, replaced.start + new.len());
        let is_complete = new.len() == count;
        self.since.splice(at..at, new.iter().map(first_seen));
        self.queue.waiters.splice(at..at, new);
        self.ranges.splice(replaced, ranges);
        // What follows is as far from the end as before.
        for range in &mut self.ranges[behind..] {
            let moved = |at: usize| text.len() - (self.text.len() - at);
            *range = moved(range.start)..moved(range.end);
        }
        self.text.clear();
        if is_complete {
            self.text.push_str(text);
        }
    }
}

/// Reads a list of waiters, and where each stands in a text that has the list at this place.
fn waiters(list: &str, at: usize) -> Option<Vec<(Waiter, Range<usize>)>> {
    let texts: Vec<&RawValue> = serde_json::from_str(list).ok()?;
    let placed = |text: &RawValue| {
        let text = text.get();
        let start = at + (text.as_ptr().addr() - list.as_ptr().addr());
        Some((serde_json::from_str(text).ok()?, start..start + text.len()))
    };
    texts.into_iter().map(placed).collect()
}
