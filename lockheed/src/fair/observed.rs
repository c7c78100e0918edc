//! The queue as its object shows it, from one state to the next.

#[cfg(test)]
mod tests;

use std::{iter, ops::Range};

use coord_core::BootInstant;
use serde_json::value::RawValue;

use super::{QUEUE, Queue, Waiter};
use crate::{members::GROUP, store::Object};

/// The queue as it was last read, and since when each place has been known.
///
/// All who wait read each state of a queue, and in a long one little changes from one to the next.
/// So only what is new in the text is parsed.
#[derive(Debug, Default)]
pub(crate) struct ObservedQueue {
    queue: Queue,
    /// When each place was first seen with its current nonce, in the order of the queue.
    since: Vec<BootInstant>,
    /// The text that was read.
    text: String,
    /// The part of the text that describes each waiter. What else it has counts as space.
    ranges: Vec<Range<usize>>,
}

/// The difference between the text and a later one.
struct Edit {
    /// The positions of the waiters that are no longer there.
    replaced: Range<usize>,
    /// The waiters in their place, each with its part of the new text.
    new: Vec<(Waiter, Range<usize>)>,
}

impl Queue {
    /// Reads the queue in this object, as [`ObservedQueue::read`] does.
    pub(crate) fn read(object: &Object) -> Self {
        let mut observed = ObservedQueue::default();
        observed.read(Some(object), BootInstant::now());
        observed.queue
    }
}

impl ObservedQueue {
    pub(crate) fn latest(&self) -> &Queue {
        &self.queue
    }

    /// The waiter at this position, and when its place was first seen.
    pub(crate) fn place(&self, position: usize) -> Option<(&Waiter, BootInstant)> {
        Some((
            self.queue.waiters.get(position)?,
            *self.since.get(position)?,
        ))
    }

    /// The waiters. Each place stops counting at the moment beside it, unless it is written again.
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
        if text == self.text {
            return;
        }
        let all = || {
            let replaced = 0..self.since.len();
            waiters(text, 0).map(|new| Edit { replaced, new })
        };
        match self.edit(text).or_else(all) {
            Some(edit) => self.apply(edit, text, now),
            None => *self = Self::default(),
        }
    }

    /// Finds what is different. None if the whole text must be parsed for that.
    fn edit(&self, text: &str) -> Option<Edit> {
        let old = self.text.as_str();
        let is_same = |old: &str, at: Range<usize>| text.get(at) == Some(old);
        // How many waiters at the start and at the end are as before.
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
        Some(Edit {
            replaced: from..to,
            new,
        })
    }

    fn apply(&mut self, Edit { replaced, new }: Edit, text: &str, now: BootInstant) {
        let since = self.since.drain(replaced.clone());
        let old: Vec<_> = iter::zip(self.queue.waiters.drain(replaced.clone()), since).collect();
        let first_seen = |waiter: &Waiter| {
            let known = old.iter().find(|(known, _)| known.nonce == waiter.nonce);
            known.map_or(now, |(_, since)| *since)
        };
        let may_hold = |(waiter, _): &(Waiter, _)| !waiter.id.is_empty() && waiter.id != GROUP;
        let (new, ranges): (Vec<_>, Vec<_>) = new.into_iter().filter(may_hold).unzip();
        let (at, behind) = (replaced.start, replaced.start + new.len());
        self.since.splice(at..at, new.iter().map(first_seen));
        self.queue.waiters.splice(at..at, new);
        self.ranges.splice(replaced, ranges);
        // What follows is as far from the end as before.
        for range in &mut self.ranges[behind..] {
            let moved = |at: usize| text.len() - (self.text.len() - at);
            *range = moved(range.start)..moved(range.end);
        }
        text.clone_into(&mut self.text);
    }
}

/// Reads a list of waiters, each with its range in the whole text. `at` is where the list begins
/// there.
fn waiters(list: &str, at: usize) -> Option<Vec<(Waiter, Range<usize>)>> {
    let texts: Vec<&RawValue> = serde_json::from_str(list).ok()?;
    let placed = |text: &RawValue| {
        let text = text.get();
        let start = at + (text.as_ptr().addr() - list.as_ptr().addr());
        Some((serde_json::from_str(text).ok()?, start..start + text.len()))
    };
    texts.into_iter().map(placed).collect()
}
