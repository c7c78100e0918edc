//! Several locks at once: all of them, or none.

use std::{
    fmt,
    future::{Future, pending},
    mem,
    pin::{Pin, pin},
    time::Duration,
};

use coord_core::BootInstant;
use coord_lease::{LeaseLost, LeaseWatch};
use tokio::time::timeout;

use crate::{Error, ErrorKind, Held, Lock, LockName, Store, Wait, error::Kind};

/// How long an attempt that has failed waits until what it had acquired is released. After that it
/// is released in the background.
const SOON: Duration = Duration::from_secs(1);

/// Several locks as somebody wants them: all at once, or none.
///
/// They are acquired one after the other in the order of their names, whatever the order they are
/// given in, so that two who want the same locks never wait for each other. Those that are acquired
/// are held, and renewed, while the next is waited for. All should be in one store, and renew
/// themselves ([`Lock::renew_interval`]): when one is lost while others are waited for, all are
/// released and acquired again, within the same wait.
///
/// ```
/// use std::time::Duration;
/// use lockheed::{Lock, LockSet, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let lock = |name: &str| {
///     let lock = Lock::new(store.clone(), name.parse()?);
///     Ok::<_, lockheed::InvalidName>(lock.duration(Duration::from_secs(30)).renew_interval(Duration::from_secs(10)))
/// };
/// let locks = LockSet::new([lock("database")?, lock("cache")?])?;
/// let held = locks.acquire_within(Duration::from_secs(60)).await?;
/// tokio::select! {
///     (lock, why) = held.lost() => eprintln!("{} is no longer ours: {why}", lock.name()),
///     () = async { /* the work, with each lock's token for whatever it protects */ } => {}
/// }
/// held.release().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens before it is acquired"]
pub struct LockSet<S> {
    /// By name, each with its place in the order in which they were given.
    locks: Vec<(usize, Lock<S>)>,
}

/// Locks that are held together, or were.
///
/// Dropping it releases them in the background, as long as the runtime lives;
/// [`release`](Self::release) waits for that and says if it failed.
pub struct HeldSet {
    /// In the order in which they were given.
    held: Vec<Held>,
    lease: LeaseWatch,
}

impl<S: Store> LockSet<S> {
    /// These locks, as each of them is wanted. Of none, there is nothing to wait for and nothing to
    /// lose.
    ///
    /// # Errors
    /// `EINVAL` when two of them have the same name.
    pub fn new(locks: impl IntoIterator<Item = Lock<S>>) -> Result<Self, Error> {
        let mut locks: Vec<_> = locks.into_iter().enumerate().collect();
        locks.sort_by(|(_, one), (_, other)| one.name().cmp(other.name()));
        let is_same = |pair: &&[(usize, Lock<S>)]| pair[0].1.name() == pair[1].1.name();
        if let Some(pair) = locks.windows(2).find(is_same) {
            let text = "it is in this set twice".to_owned();
            return Err(Kind::InvalidRequest(text).at(pair[0].1.name()));
        }
        Ok(Self { locks })
    }

    /// The lock of this name.
    #[must_use]
    pub fn get(&self, name: &LockName) -> Option<&Lock<S>> {
        let mut locks = self.locks.iter().map(|(_, lock)| lock);
        locks.find(|lock| lock.name() == name)
    }

    /// Acquires all of the locks if nobody holds any of them, without waiting for whoever does.
    ///
    /// # Errors
    /// `EBUSY` when one is held; `ESTALE` when one is lost before the last is acquired; those of
    /// [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<HeldSet, Error> {
        self.acquire_unless(Wait::No, pending()).await
    }

    /// Acquires all of the locks, and waits until it can.
    ///
    /// # Errors
    /// Those of [`Lock::acquire`], of the lock that the error names. None of them is held then: for
    /// up to a second it is waited until those that were acquired are released, and that goes on in
    /// the background if the store takes longer.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt; in the background it is seen to that nothing of it is
    /// left.
    pub async fn acquire(&self) -> Result<HeldSet, Error> {
        self.acquire_unless(Wait::Forever, pending()).await
    }

    /// Acquires all of the locks, and waits at most this long for all of them together. Zero is as
    /// [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    /// `ETIMEDOUT`; those of [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_within(&self, limit: Duration) -> Result<HeldSet, Error> {
        self.acquire_unless(Wait::at_most(limit), pending()).await
    }

    /// Acquires all of the locks, with this wait for all of them together, until `cancel` ends.
    ///
    /// # Errors
    /// Those of [`try_acquire`](Self::try_acquire) and [`acquire_within`](Self::acquire_within), and
    /// `ECANCELED`.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire).
    pub async fn acquire_unless(
        &self,
        wait: Wait,
        cancel: impl Future<Output = ()>,
    ) -> Result<HeldSet, Error> {
        let mut attempt = Attempt {
            wait,
            since: BootInstant::now(),
            cancel: pin!(cancel),
            is_cancelled: false,
            has_answered: false,
            held: Vec::new(),
        };
        while let Some((_, lock)) = self.locks.get(attempt.held.len()) {
            if let Err(error) = attempt.acquire(lock).await {
                let _ = timeout(SOON, release(attempt.held)).await;
                return Err(error);
            }
        }
        let places = self.locks.iter().map(|(place, _)| place);
        let mut held: Vec<_> = places.zip(attempt.held).collect();
        held.sort_by_key(|(place, _)| *place);
        Ok(HeldSet::new(held.into_iter().map(|(_, held)| held)))
    }
}

/// The locks of a set that are held so far, and how long the others are waited for.
struct Attempt<'a, C> {
    wait: Wait,
    since: BootInstant,
    cancel: Pin<&'a mut C>,
    is_cancelled: bool,
    /// The store has answered once: it is waited for when it goes away.
    has_answered: bool,
    held: Vec<Held>,
}

impl<C: Future<Output = ()>> Attempt<'_, C> {
    /// Acquires the next lock; releases all that it has when one of them is lost meanwhile.
    async fn acquire<S: Store>(&mut self, lock: &Lock<S>) -> Result<(), Error> {
        let wait = match self.left() {
            Some((limit, Duration::ZERO)) if !self.held.is_empty() => {
                let why = "others were waited for all that time".to_owned();
                return Err(Kind::TimedOut(limit, why).at(lock.name()));
            }
            Some((_, left)) => Wait::For(left),
            None => self.wait,
        };
        let (cancel, is_cancelled) = (&mut self.cancel, &mut self.is_cancelled);
        let so_far = LeaseWatch::all(self.held.iter().map(Held::lease));
        let stop = async {
            tokio::select! {
                () = cancel => *is_cancelled = true,
                _ = so_far.lost() => {}
            }
        };
        let acquired = lock.acquire_unless(wait, stop).await;
        let error = match acquired {
            Ok(held) => {
                self.has_answered = true;
                self.held.push(held);
                None
            }
            Err(error) => Some(error),
        };
        if self.is_cancelled {
            return Err(Kind::Cancelled.at(lock.name()));
        }
        let lost = first_lost(&self.held).map(|(held, why)| (held.name().clone(), why));
        match (error, lost) {
            (_, Some((name, why))) if self.held.len() > 1 || name != *lock.name() => {
                self.start_over(&name, why).await
            }
            (Some(error), _) if self.waits_on(&error) => Ok(()),
            (Some(error), _) => Err(error.within(self.wait)),
            (None, _) => Ok(()),
        }
    }

    /// How long is waited at most, and what is left of that; none without a limit.
    fn left(&self) -> Option<(Duration, Duration)> {
        let Wait::For(limit) = self.wait else {
            return None;
        };
        let waited = BootInstant::now().since(self.since);
        Some((limit, limit.saturating_sub(waited)))
    }

    /// A store that has gone away is waited for.
    fn waits_on(&self, error: &Error) -> bool {
        let is_away = error.kind() == ErrorKind::Unanswered;
        is_away && self.has_answered && self.wait != Wait::No
    }

    /// What is left is released before anything is acquired again: whoever waits for it may have it
    /// first, and two attempts of one ID would be the same holder.
    async fn start_over(&mut self, lost: &LockName, why: LeaseLost) -> Result<(), Error> {
        if self.wait == Wait::No {
            return Err(Kind::Lost(why).at(lost));
        }
        log::warn!("lock {lost} was lost before all were acquired: starting over");
        let (limit, left) = self.left().unwrap_or((Duration::MAX, Duration::MAX));
        let released = release(mem::take(&mut self.held));
        tokio::select! {
            released = timeout(left, released) => match released {
                Ok(_) => Ok(()),
                Err(_) => Err(Kind::TimedOut(limit, format!("it was lost: {why}")).at(lost)),
            },
            () = &mut self.cancel => Err(Kind::Cancelled.at(lost)),
        }
    }
}

impl HeldSet {
    fn new(held: impl IntoIterator<Item = Held>) -> Self {
        let held: Vec<_> = held.into_iter().collect();
        let lease = LeaseWatch::all(held.iter().map(Held::lease));
        Self { held, lease }
    }

    /// The locks, in the order in which they were given.
    pub fn iter(&self) -> std::slice::Iter<'_, Held> {
        self.held.iter()
    }

    /// What is known of all of them, for whoever must end with the first that is lost.
    #[must_use]
    pub fn lease(&self) -> &LeaseWatch {
        &self.lease
    }

    /// Until when all of them are held if none is renewed; none for leases without an end, the boot
    /// when one is lost. Whatever the locks protect must have ended by then.
    #[must_use]
    pub fn deadline(&self) -> Option<BootInstant> {
        self.lease.deadline()
    }

    /// The first one that is held no more, and why; none while all are held.
    #[must_use]
    pub fn first_lost(&self) -> Option<(&Held, LeaseLost)> {
        first_lost(&self.held)
    }

    /// Returns when one of the locks is held no more, at the deadline at the latest, with that one.
    pub async fn lost(&self) -> (&Held, LeaseLost) {
        let why = self.lease.lost().await;
        let first = self.held.first().map(|held| (held, why));
        match self.first_lost().or(first) {
            Some(lost) => lost,
            None => pending().await,
        }
    }

    /// Ends all of the leases: only these, and nothing where they are not there any more. To be
    /// called when all that the locks protect is over.
    ///
    /// # Errors
    /// As [`Held::release`], of the first lock for which it failed. Each is tried.
    pub async fn release(self) -> Result<(), Error> {
        release(self.held).await
    }
}

impl<'a> IntoIterator for &'a HeldSet {
    type Item = &'a Held;
    type IntoIter = std::slice::Iter<'a, Held>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Each lock by itself, to be released, or detached, by itself.
impl IntoIterator for HeldSet {
    type Item = Held;
    type IntoIter = std::vec::IntoIter<Held>;

    fn into_iter(self) -> Self::IntoIter {
        self.held.into_iter()
    }
}

impl fmt::Debug for HeldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.held).finish()
    }
}

fn first_lost(held: &[Held]) -> Option<(&Held, LeaseLost)> {
    let lost = |held| Some((held, Held::lease(held).lost_because()?));
    held.iter().find_map(lost)
}

/// All at the same time: a store that is silent keeps no lock longer than it must.
async fn release(held: Vec<Held>) -> Result<(), Error> {
    let releasing: Vec<_> = held
        .into_iter()
        .map(|held| tokio::spawn(held.release()))
        .collect();
    let mut released = Ok(());
    for one in releasing {
        // A task that ended without a result was dropped with its runtime.
        released = released.and(one.await.unwrap_or(Ok(())));
    }
    released
}
