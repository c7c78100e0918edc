//! A held lease, as its holder sees it.

use std::{
    fmt,
    future::{Future, pending, poll_fn},
    pin::Pin,
    task::Poll,
};

use coord_core::{BootInstant, timer::Timer};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    driver::Order,
    engine::{Failure, Protocol},
};

/// The state of a lease, as its keeper knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// It is held until this time; none for a lease without an end.
    Held(Option<BootInstant>),
    /// It is no longer held.
    Lost(LeaseLost),
}

/// Why a lock was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseLost {
    /// It expired: it could not be renewed in time.
    Expired,
    /// Somebody else took or ended it.
    Taken,
    /// It was deleted.
    Deleted,
    /// The store was restored to an earlier state, as from a backup.
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

/// The holder's view of a lease. The lease ends at its deadline, even if its keeper says nothing
/// more.
///
/// It may stand for [several leases](Self::all); it then ends when one of them does.
#[derive(Debug)]
pub struct LeaseWatch(Vec<watch::Receiver<LeaseState>>);

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

    /// What was granted with the lease.
    pub fn grant(&self) -> &P::Grant {
        &self.grant
    }

    /// The state of the lease.
    pub fn lease(&self) -> &LeaseWatch {
        &self.lease
    }

    /// Extends the lease now, for its full length.
    ///
    /// # Errors
    /// When the lock is lost; until then, the extension is retried. A lease without an end returns
    /// the first failure.
    pub async fn renew(&self) -> Result<(), Failure<P>> {
        tokio::select! {
            renewed = self.order(Order::Renew) => renewed,
            why = self.lease.lost() => Err(Failure::Lost(why)),
        }
    }

    /// Ends the lease; does nothing if it no longer exists.
    ///
    /// # Errors
    /// When the store could not be reached for the length of the lease, or for 30 s; why.
    pub async fn release(self) -> Result<(), Failure<P>> {
        self.order(Order::Release).await
    }

    /// Leaves the lease in place and stops renewing it.
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
    /// The keeper's end and the holder's end.
    #[must_use]
    pub fn new(lease: LeaseState) -> (watch::Sender<LeaseState>, Self) {
        let (keeper, holder) = watch::channel(lease);
        (keeper, Self(vec![holder]))
    }

    /// Leases that are needed together: the earliest deadline counts, and all are lost when one is.
    /// With no leases, nothing can be lost.
    pub fn all<'a>(leases: impl IntoIterator<Item = &'a Self>) -> Self {
        Self(leases.into_iter().flat_map(|all| all.0.clone()).collect())
    }

    /// When the lease expires if it is not renewed. None for a lease without an end. Once the lease
    /// is lost, this is the time of boot.
    #[must_use]
    pub fn deadline(&self) -> Option<BootInstant> {
        let deadlines = self.0.iter().filter_map(|lease| match *lease.borrow() {
            LeaseState::Held(deadline) => deadline,
            LeaseState::Lost(_) => Some(BootInstant::BOOT),
        });
        deadlines.min()
    }

    /// Why the lease was lost; none while it is held.
    #[must_use]
    pub fn lost_because(&self) -> Option<LeaseLost> {
        self.0.iter().find_map(|lease| match *lease.borrow() {
            LeaseState::Lost(why) => Some(why),
            LeaseState::Held(Some(deadline)) if deadline <= BootInstant::now() => {
                Some(LeaseLost::Expired)
            }
            LeaseState::Held(_) => None,
        })
    }

    /// Returns when the lease is lost.
    pub async fn lost(&self) -> LeaseLost {
        let mut deadline = self.deadline();
        loop {
            match self.deadline_after(deadline).await {
                Ok(later) => deadline = later,
                Err(why) => return why,
            }
        }
    }

    /// Returns the deadline as soon as it differs from `known`, which is after each renewal.
    ///
    /// # Errors
    /// The reason, when the lease is lost.
    pub async fn deadline_after(
        &self,
        known: Option<BootInstant>,
    ) -> Result<Option<BootInstant>, LeaseLost> {
        // Changes are noticed from here on, whenever they happen.
        let mut changed = self.changed();
        let mut timer = None;
        loop {
            if let Some(why) = self.lost_because() {
                return Err(why);
            }
            let deadline = self.deadline();
            if deadline != known {
                return Ok(deadline);
            }
            let timer = match (&mut timer, deadline) {
                (Some(timer), _) => timer,
                (None, Some(_)) => {
                    // Without a timer, nobody would notice the end.
                    let new = Timer::new().map_err(|_| LeaseLost::Expired)?;
                    timer.insert(new)
                }
                (None, None) => {
                    changed.await;
                    changed = self.changed();
                    continue;
                }
            };
            tokio::select! {
                () = &mut changed => changed = self.changed(),
                () = timer.until(deadline) => {}
            }
        }
    }

    /// Completes when one of the leases has changed after this call. A lease whose keeper is gone
    /// does not change any more.
    fn changed(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let of_one = |lease: &watch::Receiver<LeaseState>| {
            let mut lease = lease.clone();
            lease.mark_unchanged();
            Box::pin(async move {
                if lease.changed().await.is_err() {
                    pending::<()>().await;
                }
            })
        };
        let mut leases: Vec<_> = self.0.iter().map(of_one).collect();
        Box::pin(poll_fn(move |context| {
            let mut leases = leases.iter_mut();
            if leases.any(|lease| lease.as_mut().poll(context).is_ready()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
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

    #[tokio::test]
    async fn several_leases_have_the_first_deadline_and_are_lost_with_the_first() {
        let none = LeaseWatch::all([]);
        assert_eq!((none.deadline(), none.lost_because()), (None, None));
        let (one, first) = LeaseWatch::new(LeaseState::Held(None));
        let (other, second) = LeaseWatch::new(LeaseState::Held(None));
        let both = LeaseWatch::all([&first, &second]);
        let [soon, late] = [60, 3600].map(|s| BootInstant::now() + Duration::from_secs(s));
        let told = tokio::spawn(async move {
            let first = both.deadline_after(None).await;
            (first, both)
        });
        other.send_replace(LeaseState::Held(Some(late)));
        let (told, both) = told.await.unwrap();
        assert_eq!(told, Ok(Some(late)));
        one.send_replace(LeaseState::Held(Some(soon)));
        assert_eq!(both.deadline_after(Some(late)).await, Ok(Some(soon)));
        // The second lease's keeper is gone, but the first lease can still be lost.
        drop(other);
        let lost = tokio::spawn(async move { (both.deadline_after(Some(soon)).await, both) });
        tokio::task::yield_now().await;
        one.send_replace(LeaseState::Lost(LeaseLost::Deleted));
        let (lost, both) = lost.await.unwrap();
        assert_eq!(lost, Err(LeaseLost::Deleted));
        assert_eq!(both.lost_because(), Some(LeaseLost::Deleted));
    }

    #[tokio::test]
    async fn several_leases_end_at_the_first_deadline_without_a_word() {
        let (_one, first) = LeaseWatch::new(LeaseState::Held(None));
        let (_other, second) = LeaseWatch::new(LeaseState::Held(soon()));
        let both = LeaseWatch::all([&first, &second]);
        assert_eq!(both.lost().await, LeaseLost::Expired);
        assert_eq!(first.lost_because(), None);
    }
}
