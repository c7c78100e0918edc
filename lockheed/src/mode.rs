//! How many may hold a lock at once.

use std::{fmt, num::NonZeroU32};

/// How many may hold a lock at once. While a lock is held in one mode, nobody can hold it in
/// another.
///
/// ```
/// use std::num::NonZeroU32;
/// use lockheed::{Lock, LockName, MemoryStore, Mode, inspect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// let three = NonZeroU32::new(3).expect("not zero");
/// let name: LockName = "downloads".parse()?;
/// let lock = |id: &str| Lock::new(store.clone(), name.clone()).slots(three).id(id);
/// let (one, other) = (lock("one").acquire().await?, lock("other").acquire().await?);
/// let state = inspect(&store, &name).await?;
/// assert_eq!((state.record.mode, state.holders().count()), (Mode::Slots(three), 2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One holder only: a mutex.
    #[default]
    Exclusive,
    /// Any number of holders, as for readers.
    Shared,
    /// At most this many holders: a semaphore. Everybody who uses the lock must give the same
    /// number.
    Slots(NonZeroU32),
}

impl Mode {
    /// How many may hold the lock at once; none if there is no limit.
    pub(crate) fn limit(self) -> Option<usize> {
        match self {
            Self::Exclusive => Some(1),
            Self::Shared => None,
            Self::Slots(count) => Some(usize::try_from(count.get()).unwrap_or(usize::MAX)),
        }
    }

    /// The words that follow "it is held".
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::Exclusive => "exclusively".to_owned(),
            Self::Shared => "shared".to_owned(),
            Self::Slots(count) => format!("in {count} slots"),
        }
    }

    /// The number of slots, if the lock has slots.
    #[must_use]
    pub fn slots(self) -> Option<NonZeroU32> {
        match self {
            Self::Exclusive | Self::Shared => None,
            Self::Slots(count) => Some(count),
        }
    }
}

/// `exclusive`, `shared`, or `slots`.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
            Self::Slots(_) => "slots",
        })
    }
}
