//! How many descriptors the guard may open, and how many CMD may.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many descriptors stay free beside the pidfds that we keep.
const SPARE: u64 = 64;

/// The limit of open files for CMD: the one that the guard was started with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptors {
    before: Option<(u64, u64)>,
    now: u64,
}

impl Descriptors {
    /// Raises this process's soft limit to the hard one, `getrlimit(2)`.
    pub(crate) fn raise() -> Self {
        let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
            return Self {
                before: None,
                now: 0,
            };
        };
        let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
        Self {
            before: raised.then_some((soft, hard)),
            now: if raised { hard } else { soft },
        }
    }

    /// Restores the limit, in a child; async-signal-safe.
    pub(crate) fn restore(&self) -> nix::Result<()> {
        self.before.map_or(Ok(()), |(soft, hard)| {
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard)
        })
    }

    /// How many pidfds may be kept.
    pub(crate) fn room(&self) -> usize {
        usize::try_from((self.now / 2).saturating_sub(SPARE)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_are_for_pidfds_but_some_are_spared() {
        let room = |now| Descriptors { before: None, now }.room();
        assert_eq!([0, 100, 128, 1024].map(room), [0, 0, 0, 448]);
    }
}
