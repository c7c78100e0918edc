//! A lock that is held.

use std::time::Duration;

use coord_lease::{Belief, Believed, Lost};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Client, Error,
    acquire::Grant,
    error::Kind,
    keep::{Keeper, Order},
    lock::Wanted,
};

/// A lock that is held, or was.
///
/// Dropping it releases the lock in the background, as long as the runtime lives; [`release`](Held::release) waits for that and says if it failed.
#[derive(Debug)]
pub struct Held {
    name: String,
    id: String,
    orders: mpsc::UnboundedSender<Order>,
    belief: Believed,
}

impl Held {
    pub(crate) fn new(client: Client, wanted: Wanted, grant: Grant) -> Self {
        let (name, id) = (wanted.name.clone(), grant.holder.id.clone());
        let (orders, ordered) = mpsc::unbounded_channel();
        let (belief, believed) = Believed::new(Belief::Held(grant.deadline));
        tokio::spawn(Keeper::new(client, wanted, grant, belief).run(ordered));
        Self {
            name,
            id,
            orders,
            belief: believed,
        }
    }

    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The holder's ID: random, and noted in the object.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is known of the lock, for whoever must end with it.
    #[must_use]
    pub fn belief(&self) -> &Believed {
        &self.belief
    }

    /// The `CLOCK_BOOTTIME` until which the lock is held if it is not extended; none without expiry. Whatever the lock protects must have
    /// ended by then.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.belief.deadline()
    }

    /// Whether the lock is held no more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.belief.lost_because().is_some()
    }

    /// Returns when the lock is held no more: at its expiry at the latest, whether the server answers or not.
    pub async fn lost(&self) -> Lost {
        self.belief.lost().await
    }

    /// Returns the deadline as soon as it is another than this one, which is after each extension.
    ///
    /// # Errors
    /// When the lock is lost: why.
    pub async fn deadline_after(&self, known: Option<Duration>) -> Result<Option<Duration>, Lost> {
        self.belief.deadline_after(known).await
    }

    /// Deletes the object, unless it is another holder's by now. To be called when all that the lock protects is over. One that is gone
    /// already is fine.
    ///
    /// # Errors
    /// `EBUSY` when the object is another holder's, whom the text names; that of the request when the server could not be reached within
    /// 30 s: the object stays until it expires, or its Pod is gone.
    pub async fn release(self) -> Result<(), Error> {
        let (answer, done) = oneshot::channel();
        let _ = self.orders.send(Order::Release(Some(answer)));
        let released = done.await.unwrap_or(Err(Kind::Cancelled));
        released.map_err(|kind| kind.of(&self.name))
    }

    /// Leaves the object as it is, for somebody else who knows the ID to release it. It is not extended from here any more.
    pub fn detach(self) {
        let _ = self.orders.send(Order::Detach);
    }
}
