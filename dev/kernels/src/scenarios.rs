//! The scenarios: the main promises of each tool, above all those that depend on the kernel.

mod exitdir;
mod family;
mod lockheed;
mod lockpipe;
mod sipid;

use crate::place::Place;

/// A name, and a function that panics if a promise is broken.
type Scenario = (&'static str, fn(&Place));

/// All scenarios, with their tools.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static str, fn(&Place))> {
    let tools = [
        ("lockpipe", lockpipe::ALL),
        ("exitdir", exitdir::ALL),
        ("sipid", sipid::ALL),
        ("lockheed", lockheed::ALL),
    ];
    let of = |(tool, all): (_, &'static [Scenario])| all.iter().map(move |it| (tool, it.0, it.1));
    tools.into_iter().flat_map(of)
}

/// Makes scenarios of functions, with their names.
macro_rules! scenarios {
    ($($scenario:ident),+ $(,)?) => {
        pub(super) const ALL: &[super::Scenario] = &[$((stringify!($scenario), $scenario)),+];
    };
}
use scenarios;
