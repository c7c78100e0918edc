//! What is shown of each tool.

mod cmlock;
mod exitdir;
mod lockheed;
mod lockpipes;
mod sipid;

use futures::future::LocalBoxFuture;

use crate::{Result, Tool, scene::Scene};

/// What is played in a namespace of its own. It returns figures, for people.
pub(crate) struct Scenario {
    pub(crate) tool: Tool,
    pub(crate) name: &'static str,
    /// Its figures count only if nothing else is going on.
    pub(crate) alone: bool,
    pub(crate) play: for<'a> fn(&'a Scene<'a>) -> LocalBoxFuture<'a, Result<String>>,
}

/// All there are, in the order in which they are started.
pub(crate) fn all() -> impl Iterator<Item = Scenario> {
    lockpipes::SCENARIOS
        .into_iter()
        .chain(exitdir::SCENARIOS)
        .chain(sipid::SCENARIOS)
        .chain(lockheed::SCENARIOS)
        .chain(cmlock::SCENARIOS)
}
