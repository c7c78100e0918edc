//! Finds a short form of a history that breaks a promise.

use super::{Flaw, Kind, Line, Outcome, Violation, faults::LeftOut, run_without};

/// What led to a broken promise.
#[derive(Clone, Debug)]
pub struct Story {
    /// The broken promise, which is the same as in the whole history.
    pub violation: Violation,
    /// How many faults it takes.
    pub faults: u32,
    /// How many there were in the whole history.
    pub of: u32,
    /// What happens, without what each contender is told.
    pub lines: Vec<String>,
}

/// A history with parts left out.
struct Shrinking {
    kind: Kind,
    seed: u64,
    flaw: Option<Flaw>,
    promise: String,
    left_out: LeftOut,
}

/// The shortest story found of how this seed breaks a promise; none if it breaks none.
#[must_use]
pub fn shrink(kind: Kind, seed: u64, flaw: Option<Flaw>) -> Option<Story> {
    let whole = run_without(kind, seed, flaw, false, &LeftOut::default());
    let mut shrinking = Shrinking {
        kind,
        seed,
        flaw,
        promise: promise(&whole.violation?),
        left_out: LeftOut::default(),
    };
    shrinking.leave_out_the_last(whole.faults);
    shrinking.leave_out_contenders();
    // After one is left out, others may be unnecessary.
    while shrinking.leave_out_each() {}
    let LeftOut { from, faults, .. } = &shrinking.left_out;
    let left = from.unwrap_or(whole.faults) - u32::try_from(faults.len()).unwrap_or(0);
    let outcome = shrinking.play(&shrinking.left_out, true)?;
    let lines = outcome.trace.iter().filter_map(|line| match line {
        Line::Story(text) => Some(text.clone()),
        Line::Detail(_) => None,
    });
    Some(Story {
        violation: outcome.violation?,
        faults: left,
        of: whole.faults,
        lines: lines.collect(),
    })
}

impl Shrinking {
    /// The history without these parts, if it still breaks the same promise.
    fn play(&self, left_out: &LeftOut, trace: bool) -> Option<Outcome> {
        let outcome = run_without(self.kind, self.seed, self.flaw, trace, left_out);
        let is_same = |violation: &Violation| promise(violation) == self.promise;
        outcome
            .violation
            .as_ref()
            .is_some_and(is_same)
            .then_some(outcome)
    }

    fn try_without(&mut self, left_out: LeftOut) -> bool {
        let breaks = self.play(&left_out, false).is_some();
        if breaks {
            self.left_out = left_out;
        }
        breaks
    }

    /// Keeps as few faults as possible, counted from the beginning.
    fn leave_out_the_last(&mut self, count: u32) {
        let (mut enough, mut too_few) = (count, None);
        while too_few.map_or(enough > 0, |too_few| enough > too_few + 1) {
            let from = too_few.map_or(0, |too_few| too_few + (enough - too_few) / 2);
            let mut left_out = self.left_out.clone();
            left_out.from = Some(from);
            if self.try_without(left_out) {
                enough = from;
            } else {
                too_few = Some(from);
            }
        }
    }

    fn leave_out_contenders(&mut self) {
        while self.left_out.nodes < 6 {
            let mut left_out = self.left_out.clone();
            left_out.nodes += 1;
            if !self.try_without(left_out) {
                break;
            }
        }
    }

    /// Tries to leave out each fault. Returns whether one was left out.
    fn leave_out_each(&mut self) -> bool {
        let before = self.left_out.faults.len();
        for fault in (0..self.left_out.from.unwrap_or(0)).rev() {
            let mut left_out = self.left_out.clone();
            if left_out.faults.insert(fault) {
                self.try_without(left_out);
            }
        }
        self.left_out.faults.len() > before
    }
}

/// A violation without names and times.
fn promise(violation: &Violation) -> String {
    let words = violation.what.split_whitespace();
    let is_name = |word: &&str| !word.contains(|letter: char| letter.is_ascii_digit());
    words.filter(is_name).collect::<Vec<_>>().join(" ")
}
