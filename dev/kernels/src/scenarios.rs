//! What is played: the main promises of each tool, above all what hangs on the kernel.

mod exitdir;
mod family;
mod lockheed;
mod lockpipe;
mod sipid;

use crate::place::Place;

/// Its name, and what it does; it panics when something is not as promised.
type Scenario = (&'static str, fn(&Place));

/// All, with their tools.
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

/// The functions as scenarios, under their names.
macro_rules! scenarios {
    ($($scenario:ident),+ $(,)?) => {
        pub(super) const ALL: &[super::Scenario] = &[$((stringify!($scenario), $scenario)),+];
    };
}
use scenarios;
