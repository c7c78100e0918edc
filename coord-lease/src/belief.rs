//! Whether a lease is held, as its holder knows.

use std::{fmt, time::Duration};

use tokio::sync::watch;

use super::Timer;
use coord_core::boottime;

/// What is known of a lease by whoever keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// It is held until this `CLOCK_BOOTTIME`; none for one without an end.
    Held(Option<Duration>),
    /// It is held no more.
    Lost(Lost),
}

/// Why a lock is held no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It expired: it could not be renewed in time.
    Expired,
    /// Somebody else took it, or ended it.
    Taken,
    /// It was deleted.
    Deleted,
}

/// The holder's side of a belief: it ends at its deadline, whether whoever keeps the lease still says something or not.
#[derive(Debug)]
pub struct Believed(watch::Receiver<Belief>);

impl Believed {
    /// The two sides.
    #[must_use]
    pub fn new(belief: Belief) -> (watch::Sender<Belief>, Self) {
        let (keeper, holder) = watch::channel(belief);
        (keeper, Self(holder))
    }

    /// The `CLOCK_BOOTTIME` at which the lease is over if it is not renewed; none for one without an end, zero when it is lost.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match *self.0.borrow() {
            Belief::Held(deadline) => deadline,
            Belief::Lost(_) => Some(Duration::ZERO),
        }
    }

    /// Why it is held no more; none while it is.
    #[must_use]
    pub fn lost_because(&self) -> Option<Lost> {
        match *self.0.borrow() {
            Belief::Lost(why) => Some(why),
            Belief::Held(Some(deadline)) if deadline <= boottime() => Some(Lost::Expired),
            Belief::Held(_) => None,
        }
    }

    /// Returns when the lease is held no more.
    pub async fn lost(&self) -> Lost {
        let mut deadline = self.deadline();
        loop {
            match self.deadline_after(deadline).await {
                Ok(later) => deadline = later,
                Err(why) => return why,
            }
        }
    }

    /// Returns the deadline as soon as it is another than this one, which is after each renewal.
    ///
    /// # Errors
    /// When the lease is lost: why.
    pub async fn deadline_after(&self, known: Option<Duration>) -> Result<Option<Duration>, Lost> {
        let mut belief = self.0.clone();
        // Without a timer nobody would notice the end.
        let mut timer = Timer::new().map_err(|_| Lost::Expired)?;
        loop {
            if let Some(why) = self.lost_because() {
                return Err(why);
            }
            let deadline = self.deadline();
            if deadline != known {
                return Ok(deadline);
            }
            tokio::select! {
                changed = belief.changed() => if changed.is_err() {
                    // Nobody is left who could renew it.
                    timer.until(deadline).await;
                    return Err(Lost::Expired);
                },
                () = timer.until(deadline) => {}
            }
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "it expired",
            Self::Taken => "somebody else took it, or ended it",
            Self::Deleted => "it was deleted",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Option<Duration> {
        Some(boottime() + Duration::from_millis(20))
    }

    #[tokio::test]
    async fn a_belief_ends_at_its_deadline_without_a_word() {
        let (keeper, held) = Believed::new(Belief::Held(soon()));
        assert_eq!(held.lost().await, Lost::Expired);
        assert_eq!(held.lost_because(), Some(Lost::Expired));
        drop(keeper);
        let (keeper, held) = Believed::new(Belief::Held(soon()));
        drop(keeper);
        assert_eq!(held.lost().await, Lost::Expired);
    }

    #[tokio::test]
    async fn each_deadline_is_told_and_then_the_loss() {
        let (keeper, held) = Believed::new(Belief::Held(None));
        assert_eq!((held.deadline(), held.lost_because()), (None, None));
        let later = Some(boottime() + Duration::from_secs(3600));
        keeper.send_replace(Belief::Held(later));
        assert_eq!(held.deadline_after(None).await, Ok(later));
        keeper.send_replace(Belief::Lost(Lost::Taken));
        assert_eq!(held.deadline_after(later).await, Err(Lost::Taken));
        assert_eq!(held.deadline(), Some(Duration::ZERO));
    }
}
