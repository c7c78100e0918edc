//! A lease that is held, as its holder knows.

use std::fmt;

use coord_core::BootInstant;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Timer,
    driver::Order,
    engine::{Failure, Protocol},
};

/// What is known of a lease by whoever keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It is held until then; none for one without an end.
    Held(Option<BootInstant>),
    /// It is held no more.
    Lost(LeaseLost),
}

/// Why a lock is held no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseLost {
    /// It expired: it could not be renewed in time.
    Expired,
    /// Somebody else took it, or ended it.
    Taken,
    /// It was deleted.
    Deleted,
    /// The store was put back to an earlier state, as from a backup.
    Undone,
}

/// A lock that is held, or was.
///
/// Dropping it releases the lock in the background, as long as the runtime lives.
pub struct Held<P: Protocol> {
    grant: P::Grant,
    orders: mpsc::UnboundedSender<Order<P>>,
    lease: LeaseWatch,
}

/// The holder's side of a lease, which ends at its deadline, whether whoever keeps the lease still says something or not.
#[derive(Debug)]
pub struct LeaseWatch(watch::Receiver<LeaseState>);

impl<P: Protocol> Held<P> {
    pub(crate) fn new(
        grant: P::Grant,
        orders: mpsc::UnboundedSender<Order<P>>,
        lease: LeaseWatch,
    ) -> Self {
        Self {
            grant,
            orders,
            lease,
        }
    }

    /// What was granted with it.
    pub fn grant(&self) -> &P::Grant {
        &self.grant
    }

    /// What is known of the lease.
    pub fn lease(&self) -> &LeaseWatch {
        &self.lease
    }

    /// Extends the lease now, for its whole length.
    ///
    /// # Errors
    /// When the lock is lost; until then it is tried again. For a lease without an end, the first failure.
    pub async fn renew(&self) -> Result<(), Failure<P>> {
        tokio::select! {
            renewed = self.order(Order::Renew) => renewed,
            why = self.lease.lost() => Err(Failure::Lost(why)),
        }
    }

    /// Ends the lease, and nothing if it is not there any more.
    ///
    /// # Errors
    /// When the store could not be reached for the length of the lease, or 30 s; why.
    pub async fn release(self) -> Result<(), Failure<P>> {
        self.order(Order::Release).await
    }

    /// Leaves the lease as it is. It is not renewed from here any more.
    pub fn detach(self) {
        let _ = self.orders.send(Order::Detach);
    }

    async fn order(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(), Failure<P>>>) -> Order<P>,
    ) -> Result<(), Failure<P>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.orders.send(order(reply));
        let gone = || Failure::Lost(self.lease.lost_because().unwrap_or(LeaseLost::Expired));
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl LeaseWatch {
    /// The two sides.
    #[must_use]
    pub fn new(lease: LeaseState) -> (watch::Sender<LeaseState>, Self) {
        let (keeper, holder) = watch::channel(lease);
        (keeper, Self(holder))
    }

    /// When the lease is over if it is not renewed; none for one without an end, the boot when it is lost.
    #[must_use]
    pub fn deadline(&self) -> Option<BootInstant> {
        match *self.0.borrow() {
            LeaseState::Held(deadline) => deadline,
            LeaseState::Lost(_) => Some(BootInstant::BOOT),
        }
    }

    /// Why it is held no more; none while it is.
    #[must_use]
    pub fn lost_because(&self) -> Option<LeaseLost> {
        match *self.0.borrow() {
            LeaseState::Lost(why) => Some(why),
            LeaseState::Held(Some(deadline)) if deadline <= BootInstant::now() => {
                Some(LeaseLost::Expired)
            }
            LeaseState::Held(_) => None,
        }
    }

    /// Returns when the lease is held no more.
    pub async fn lost(&self) -> LeaseLost {
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
    pub async fn deadline_after(
        &self,
        known: Option<BootInstant>,
    ) -> Result<Option<BootInstant>, LeaseLost> {
        let mut lease = self.0.clone();
        // Without a timer nobody would notice the end.
        let mut timer = Timer::new().map_err(|_| LeaseLost::Expired)?;
        loop {
            if let Some(why) = self.lost_because() {
                return Err(why);
            }
            let deadline = self.deadline();
            if deadline != known {
                return Ok(deadline);
            }
            tokio::select! {
                changed = lease.changed() => if changed.is_err() {
                    // Nobody is left who could renew it.
                    timer.until(deadline).await;
                    return Err(LeaseLost::Expired);
                },
                () = timer.until(deadline) => {}
            }
        }
    }
}

impl fmt::Display for LeaseLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "it expired",
            Self::Taken => "somebody else took it, or ended it",
            Self::Deleted => "it was deleted",
            Self::Undone => "its store was put back to an earlier state",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Option<BootInstant> {
        Some(BootInstant::now() + Duration::from_millis(20))
    }

    #[tokio::test]
    async fn a_lease_ends_at_its_deadline_without_a_word() {
        let (keeper, held) = LeaseWatch::new(LeaseState::Held(soon()));
        assert_eq!(held.lost().await, LeaseLost::Expired);
        assert_eq!(held.lost_because(), Some(LeaseLost::Expired));
        drop(keeper);
        let (keeper, held) = LeaseWatch::new(LeaseState::Held(soon()));
        drop(keeper);
        assert_eq!(held.lost().await, LeaseLost::Expired);
    }

    #[tokio::test]
    async fn each_deadline_is_told_and_then_the_loss() {
        let (keeper, held) = LeaseWatch::new(LeaseState::Held(None));
        assert_eq!((held.deadline(), held.lost_because()), (None, None));
        let later = Some(BootInstant::now() + Duration::from_secs(3600));
        keeper.send_replace(LeaseState::Held(later));
        assert_eq!(held.deadline_after(None).await, Ok(later));
        keeper.send_replace(LeaseState::Lost(LeaseLost::Taken));
        assert_eq!(held.deadline_after(later).await, Err(LeaseLost::Taken));
        assert_eq!(held.deadline(), Some(BootInstant::BOOT));
    }
}
