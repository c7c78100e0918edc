//! What happened, line by line.

use std::fmt;

use super::{game::Game, world::World};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A contender is told something, or waits.
    Detail(String),
    /// Anything else.
    Story(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Detail(text) | Self::Story(text)) = self;
        f.write_str(text)
    }
}

impl<G: Game> World<G> {
    /// Adds a line to the trace.
    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.traced {
            let line = format!("{:?} {}", self.now, what());
            self.outcome.trace.push(Line::Story(line));
        }
    }

    pub(super) fn note(&mut self, number: usize, line: Option<Line>) {
        let mix = u64::try_from(self.now.as_nanos()).unwrap_or(0) ^ (number as u64) << 56;
        self.outcome.digest = (self.outcome.digest ^ mix).wrapping_mul(0x0100_0000_01b3);
        self.outcome.trace.extend(line);
    }
}
