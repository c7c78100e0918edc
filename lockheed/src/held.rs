//! A lock that is held.

use std::{sync::Arc, time::Duration};

use coord_core::errno::with_sources;
use coord_lease::{Belief, Believed, Lost};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Error, Event, LockName, Token, driver::Order, error::Kind, machine::News};

pub(crate) type Handler = Arc<dyn Fn(&Event) + Send + Sync>;

/// A lock that is held, or was.
///
/// Dropping it releases the lock in the background, as long as the runtime lives; [`release`](Held::release) waits for that and says if it failed.
#[derive(Debug)]
pub struct Held {
    name: LockName,
    id: String,
    token: Token,
    orders: mpsc::UnboundedSender<Order>,
    belief: Believed,
    replies: mpsc::UnboundedSender<Reply>,
}

/// Who waits for the end of something.
#[derive(Debug)]
pub(crate) enum Reply {
    Renewed(oneshot::Sender<Result<(), Error>>),
    Released(oneshot::Sender<Result<(), Error>>),
}

/// The driver's side: passes the news on to whoever waits for them.
pub(crate) struct Reporter {
    name: LockName,
    handler: Option<Handler>,
    maintained: bool,
    begun: Option<oneshot::Sender<Result<Option<Token>, Error>>>,
    belief: watch::Sender<Belief>,
    replies: mpsc::UnboundedReceiver<Reply>,
    renewed: Vec<oneshot::Sender<Result<(), Error>>>,
    released: Vec<oneshot::Sender<Result<(), Error>>>,
}

/// What [`Held`] is made of, before the lock is.
pub(crate) struct Strings {
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    /// What came of the goal: the token, if it was to have the lock.
    pub(crate) begun: oneshot::Receiver<Result<Option<Token>, Error>>,
    belief: Believed,
    replies: mpsc::UnboundedSender<Reply>,
}

impl Held {
    pub(crate) fn new(name: LockName, id: String, token: Token, strings: Strings) -> Self {
        Self {
            name,
            id,
            token,
            orders: strings.orders,
            belief: strings.belief,
            replies: strings.replies,
        }
    }

    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// The ID that holds it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The fencing token: higher than that of every holder before.
    #[must_use]
    pub fn token(&self) -> Token {
        self.token
    }

    /// What is known of the lock, for whoever must end with it.
    #[must_use]
    pub fn belief(&self) -> &Believed {
        &self.belief
    }

    /// The `CLOCK_BOOTTIME` until which the lock is held if it is not renewed; none for a lease without an end, zero when it is lost.
    /// Whatever the lock protects must have ended by then.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.belief.deadline()
    }

    /// Whether the lock is held no more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.belief.lost_because().is_some()
    }

    /// Returns when the lock is held no more, at the deadline at the latest, whether the store answers or not.
    pub async fn lost(&self) -> Lost {
        self.belief.lost().await
    }

    /// Returns the deadline as soon as it is another than this one, which is after each renewal.
    ///
    /// # Errors
    /// When the lock is lost: why.
    pub async fn deadline_after(&self, known: Option<Duration>) -> Result<Option<Duration>, Lost> {
        self.belief.deadline_after(known).await
    }

    /// Renews the lease now, for its whole length.
    ///
    /// # Errors
    /// `ESTALE` when the lock is lost; until then it is tried again. For a lease without an end, the first failure.
    pub async fn renew(&self) -> Result<(), Error> {
        let renewed = self.order(Order::Renew, Reply::Renewed);
        tokio::select! {
            renewed = renewed => renewed,
            why = self.lost() => Err(Kind::Lost(why).of(&self.name)),
        }
    }

    /// Ends the lease: only this one, and nothing if it is not there any more. To be called when all that the lock protects is over.
    ///
    /// # Errors
    /// When the store could not be reached for the length of the lease, or 30 s: the lease may be there until its end.
    pub async fn release(self) -> Result<(), Error> {
        self.order(Order::Release, Reply::Released).await
    }

    /// Leaves the lease as it is, for somebody else who knows the ID to renew and release it. It is not renewed from here any more.
    pub fn detach(self) {
        let _ = self.orders.send(Order::Detach);
    }

    async fn order(
        &self,
        order: Order,
        reply: impl FnOnce(oneshot::Sender<Result<(), Error>>) -> Reply,
    ) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        let _ = self.replies.send(reply(done));
        let _ = self.orders.send(order);
        let gone =
            || Kind::Lost(self.belief.lost_because().unwrap_or(Lost::Expired)).of(&self.name);
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The two ends of what the driver of a lock has to tell.
pub(crate) fn strings(
    name: LockName,
    handler: Option<Handler>,
    maintained: bool,
) -> (Strings, Reporter, mpsc::UnboundedReceiver<Order>) {
    let (orders, ordered) = mpsc::unbounded_channel();
    let (begun, answer) = oneshot::channel();
    // Nobody looks before it is held.
    let (belief, believed) = Believed::new(Belief::Lost(Lost::Expired));
    let (replies, asked) = mpsc::unbounded_channel();
    let strings = Strings {
        orders,
        begun: answer,
        belief: believed,
        replies,
    };
    let reporter = Reporter {
        name,
        handler,
        maintained,
        begun: Some(begun),
        belief,
        replies: asked,
        renewed: Vec::new(),
        released: Vec::new(),
    };
    (strings, reporter, ordered)
}

impl Reporter {
    pub(crate) fn tell(&mut self, news: News) {
        while let Ok(reply) = self.replies.try_recv() {
            match reply {
                Reply::Renewed(who) => self.renewed.push(who),
                Reply::Released(who) => self.released.push(who),
            }
        }
        match news {
            News::Acquired { token, deadline } => self.acquired(token, deadline),
            News::Failed(error) => self.failed(error),
            News::Renewed { deadline } => self.renewed(deadline),
            News::NotRenewed(error) => self.not_renewed(error),
            News::Lost(why) => self.lost(why),
            News::Released => {
                self.emit(&Event::Released);
                self.begun(Ok(None));
                answer(&mut self.released, || Ok(()));
            }
            News::NotReleased(error) => {
                self.emit(&Event::NotReleased(with_sources(&error)));
                match self.begun.take() {
                    Some(who) => drop(who.send(Err(error))),
                    None => answer_once(&mut self.released, error),
                }
            }
            News::Waiting(obstacle) => self.emit(&Event::Waiting(obstacle.to_string())),
            News::Unreachable(why) => self.emit(&Event::Unreachable(why)),
            News::Reachable => self.emit(&Event::Reachable),
        }
    }

    fn acquired(&mut self, token: Token, deadline: Option<Duration>) {
        self.belief.send_replace(Belief::Held(deadline));
        self.emit(&Event::Acquired(token));
        if self.maintained {
            self.emit(&Event::Maintained);
        }
        self.begun(Ok(Some(token)));
    }

    fn failed(&mut self, error: Error) {
        self.emit(&Event::NotAcquired(with_sources(&error)));
        self.begun(Err(error));
    }

    fn begun(&mut self, result: Result<Option<Token>, Error>) {
        if let Some(who) = self.begun.take() {
            let _ = who.send(result);
        }
    }

    fn renewed(&mut self, deadline: Option<Duration>) {
        self.belief.send_replace(Belief::Held(deadline));
        self.emit(&Event::Renewed(deadline));
        answer(&mut self.renewed, || Ok(()));
    }

    fn not_renewed(&mut self, error: Error) {
        self.emit(&Event::NotRenewed(with_sources(&error)));
        if *self.belief.borrow() == Belief::Held(None) {
            answer_once(&mut self.renewed, error);
        }
    }

    fn lost(&mut self, why: Lost) {
        self.belief.send_replace(Belief::Lost(why));
        self.emit(&Event::Lost(why));
        if std::mem::take(&mut self.maintained) {
            self.emit(&Event::NotMaintained);
        }
        let name = self.name.clone();
        answer(&mut self.renewed, || Err(Kind::Lost(why).of(&name)));
    }

    fn emit(&self, event: &Event) {
        if let Some(handler) = &self.handler {
            handler(event);
        }
    }
}

fn answer(
    waiting: &mut Vec<oneshot::Sender<Result<(), Error>>>,
    with: impl Fn() -> Result<(), Error>,
) {
    for who in waiting.drain(..) {
        let _ = who.send(with());
    }
}

/// An error has one reader; whoever else waits learns that nothing more will come.
fn answer_once(waiting: &mut Vec<oneshot::Sender<Result<(), Error>>>, error: Error) {
    if let Some(who) = waiting.drain(..).next() {
        let _ = who.send(Err(error));
    }
}
