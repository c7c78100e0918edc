//! Connects an engine to the world: sends its requests to a store and reports what happens to it.

#[cfg(test)]
mod tests;

use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};

use coord_core::{BootInstant, timer::Timer};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use crate::{
    Held, LeaseLost, LeaseState, Version,
    engine::{Engine, Event, Failure, Input, Output, Protocol, Write},
    held::LeaseWatch,
};

/// How long a cancelled caller waits until a lock acquired at that moment is released. After that
/// it is released in the background.
const SOON: Duration = Duration::from_secs(1);

/// A store of one kind of lock, as seen from one lock.
///
/// A call must end in time, and may be dropped before that; the engine then reads to find out
/// whether a write was done. A store never repeats a write by itself.
pub trait Store<P: Protocol>: Send + Sync + 'static {
    /// The watch of the lock's object.
    type Watch: Watch<Change<P::Object>, P::Error>;
    /// The watch of the subject.
    type SubjectWatch: Watch<P::Fact, P::Error>;

    /// Reads the object, if it exists, from the store itself and not from a cache.
    fn read(&self) -> impl Future<Output = Answer<Option<P::Object>, P::Error>> + Send;

    /// Writes under the condition that the [`Write`] names. None after a deletion.
    fn write(
        &self,
        write: Write<P::Object>,
    ) -> impl Future<Output = Answer<Option<P::Object>, P::Error>> + Send;

    /// Starts to watch the object after this version, or from its current state.
    fn watch(
        &self,
        since: Option<Version>,
    ) -> impl Future<Output = Result<Self::Watch, P::Error>> + Send;

    /// Reads what else must be known.
    fn read_subject(
        &self,
        subject: P::Subject,
    ) -> impl Future<Output = Answer<P::Fact, P::Error>> + Send;

    /// Starts to watch the subject from where it was read.
    fn watch_subject(
        &self,
        subject: P::Subject,
    ) -> impl Future<Output = Result<Self::SubjectWatch, P::Error>> + Send;
}

/// A store's answer, and the store's clock at that time since the Unix epoch, where it is known.
pub struct Answer<T, E> {
    /// The answer itself.
    pub result: Result<T, E>,
    /// Never ahead of the store's clock; behind it by as long as the answer was under way.
    pub clock: Option<Duration>,
}

/// A watch.
pub trait Watch<T, E>: Send + 'static {
    /// Returns the next change; none when the watch has ended. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the watch breaks off; it has then ended too.
    fn next(&mut self) -> impl Future<Output = Result<Option<T>, E>> + Send;
}

/// A change of an object.
#[derive(Clone, Debug)]
pub enum Change<O> {
    /// This is the object's new state.
    Written(O),
    /// The object was deleted, with this version.
    Deleted(Version),
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Replies<P> = Vec<oneshot::Sender<Result<(), Failure<P>>>>;
/// The result of the goal, with what was granted if the goal was to hold the lock.
type Outcome<P> = Result<Option<<P as Protocol>::Grant>, Failure<P>>;
type OnEvent<P> = Box<dyn FnMut(&Event<P>) + Send>;

/// A command from the holder's end, and where to answer.
pub(crate) enum Order<P: Protocol> {
    Cancel,
    Renew(oneshot::Sender<Result<(), Failure<P>>>),
    Release(oneshot::Sender<Result<(), Failure<P>>>),
    /// Leave everything in place, and end.
    Detach,
}

/// A running engine whose outcome is still open.
pub struct Started<P: Protocol> {
    orders: mpsc::UnboundedSender<Order<P>>,
    outcome: oneshot::Receiver<Outcome<P>>,
    lease: LeaseWatch,
}

struct Driver<P: Protocol, S: Store<P>> {
    engine: Engine<P>,
    store: Arc<S>,
    orders: mpsc::UnboundedReceiver<Order<P>>,
    /// Nobody is left who could give a command.
    is_abandoned: bool,
    timer: Timer,
    request: Option<Boxed<Input<P>>>,
    watch: Watching<S::Watch, P::Error>,
    subject_watch: Watching<S::SubjectWatch, P::Error>,
    reporter: Reporter<P>,
}

enum Watching<W, E> {
    Off,
    Beginning(Boxed<Result<W, E>>),
    On(W),
}

/// Reports the engine's events.
struct Reporter<P: Protocol> {
    on_event: OnEvent<P>,
    outcome: Option<oneshot::Sender<Outcome<P>>>,
    lease: watch::Sender<LeaseState>,
    renewed: Replies<P>,
    released: Replies<P>,
}

/// Runs an engine in a task of its own, within a tokio runtime with I/O. Calls `on_event` with
/// every event; it must return at once.
///
/// # Errors
/// Those of `timerfd_create(2)`.
pub fn start<P: Protocol, S: Store<P>>(
    engine: Engine<P>,
    store: S,
    on_event: impl FnMut(&Event<P>) + Send + 'static,
) -> io::Result<Started<P>> {
    let (orders, ordered) = mpsc::unbounded_channel();
    let (begun, outcome) = oneshot::channel();
    // Nobody looks at this before the lock is held.
    let (keeper, lease) = LeaseWatch::new(LeaseState::Lost(LeaseLost::Expired));
    let driver = Driver {
        engine,
        store: Arc::new(store),
        orders: ordered,
        is_abandoned: false,
        timer: Timer::new()?,
        request: None,
        watch: Watching::Off,
        subject_watch: Watching::Off,
        reporter: Reporter {
            on_event: Box::new(on_event),
            outcome: Some(begun),
            lease: keeper,
            renewed: Vec::new(),
            released: Vec::new(),
        },
    };
    tokio::spawn(driver.run());
    Ok(Started {
        orders,
        outcome,
        lease,
    })
}

impl<P: Protocol> Started<P> {
    /// Waits until the lock is held, or `cancel` completes. If the lock is acquired at that very
    /// moment, it is released again, and this waits up to a second for that.
    ///
    /// # Errors
    /// Why the lock is not held.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt. Whatever the attempt has written is cleaned up in the
    /// background.
    pub async fn acquired(
        mut self,
        cancel: impl Future<Output = ()>,
    ) -> Result<Held<P>, Failure<P>> {
        let (outcome, is_cancelled) = tokio::select! {
            biased;
            () = cancel => {
                let _ = self.orders.send(Order::Cancel);
                ((&mut self.outcome).await, true)
            }
            outcome = &mut self.outcome => (outcome, false),
        };
        // A driver that ended without an outcome was dropped with its runtime.
        let grant = outcome.unwrap_or(Err(Failure::Cancelled))?;
        let grant = grant.ok_or(Failure::Cancelled)?;
        let held = Held::new(grant, self.orders, self.lease);
        if is_cancelled {
            let _ = timeout(SOON, held.release()).await;
            return Err(Failure::Cancelled);
        }
        Ok(held)
    }

    /// Waits until no lease of ours is left.
    ///
    /// # Errors
    /// Why that is not certain.
    pub async fn released(self) -> Result<(), Failure<P>> {
        let outcome = self.outcome.await.unwrap_or(Err(Failure::Cancelled));
        outcome.map(|_| ())
    }
}

impl<P: Protocol, S: Store<P>> Driver<P, S> {
    /// Runs until the engine is done, or is told to leave everything in place.
    async fn run(mut self) {
        self.engine.handle(Input::Time, BootInstant::now());
        loop {
            while let Some(output) = self.engine.poll() {
                self.carry_out(output);
            }
            if self.engine.is_done() {
                return;
            }
            let Some(input) = self.next().await else {
                return;
            };
            self.engine.handle(input, BootInstant::now());
        }
    }

    fn carry_out(&mut self, output: Output<P>) {
        let store = Arc::clone(&self.store);
        match output {
            Output::Read => {
                self.request = Some(Box::pin(async move {
                    let answer = store.read().await;
                    Input::Read(answer.result, answer.clock)
                }));
            }
            Output::Write(write) => {
                self.request = Some(Box::pin(async move {
                    let answer = store.write(write).await;
                    Input::Written(answer.result, answer.clock)
                }));
            }
            Output::ReadSubject(subject) => {
                self.request = Some(Box::pin(async move {
                    let answer = store.read_subject(subject).await;
                    Input::SubjectRead(answer.result, answer.clock)
                }));
            }
            Output::Watch(since) => {
                let begin = async move { store.watch(since).await };
                self.watch = Watching::Beginning(Box::pin(begin));
            }
            Output::WatchSubject(subject) => {
                let begin = async move { store.watch_subject(subject).await };
                self.subject_watch = Watching::Beginning(Box::pin(begin));
            }
            Output::UnwatchSubject => self.subject_watch = Watching::Off,
            Output::Abandon => self.request = None,
            Output::Tell(event) => self.reporter.tell(event),
        }
    }

    /// The next input; none when everything is to be left in place.
    async fn next(&mut self) -> Option<Input<P>> {
        let request = async {
            match &mut self.request {
                Some(request) => request.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            input = request => {
                self.request = None;
                Some(input)
            }
            change = self.watch.next() => Some(match change {
                Ok(Some(Change::Written(object))) => Input::Changed(object),
                Ok(Some(Change::Deleted(version))) => Input::Deleted(version),
                Ok(None) => Input::WatchEnded(None),
                Err(error) => Input::WatchEnded(Some(error)),
            }),
            fact = self.subject_watch.next() => Some(match fact {
                Ok(Some(fact)) => Input::SubjectChanged(fact),
                Ok(None) => Input::SubjectWatchEnded(None),
                Err(error) => Input::SubjectWatchEnded(Some(error)),
            }),
            () = self.timer.until(self.engine.wake_at()) => Some(Input::Time),
            order = self.orders.recv(), if !self.is_abandoned => self.ordered(order),
        }
    }

    fn ordered(&mut self, order: Option<Order<P>>) -> Option<Input<P>> {
        match order {
            Some(Order::Cancel) => Some(Input::Cancel),
            Some(Order::Renew(reply)) => {
                self.reporter.renewed.push(reply);
                Some(Input::Renew)
            }
            Some(Order::Release(reply)) => {
                self.reporter.released.push(reply);
                Some(Input::Release)
            }
            Some(Order::Detach) => None,
            None => {
                self.is_abandoned = true;
                Some(Input::Abandoned)
            }
        }
    }
}

impl<W, E> Watching<W, E> {
    async fn next<T>(&mut self) -> Result<Option<T>, E>
    where
        W: Watch<T, E>,
    {
        loop {
            let next = match self {
                Self::Off => return std::future::pending().await,
                Self::Beginning(begin) => match begin.await {
                    Ok(watch) => {
                        *self = Self::On(watch);
                        continue;
                    }
                    Err(error) => Err(error),
                },
                Self::On(watch) => watch.next().await,
            };
            if !matches!(next, Ok(Some(_))) {
                *self = Self::Off;
            }
            return next;
        }
    }
}

impl<P: Protocol> Reporter<P> {
    fn tell(&mut self, event: Event<P>) {
        match &event {
            Event::Acquired(_, until) | Event::Renewed(until) => {
                self.lease.send_replace(LeaseState::Held(*until));
            }
            Event::Lost(why) => {
                self.lease.send_replace(LeaseState::Lost(*why));
            }
            _ => {}
        }
        (self.on_event)(&event);
        match event {
            Event::Acquired(grant, _) => self.end(Ok(Some(grant))),
            Event::Failed(why) => self.end(Err(why)),
            Event::Renewed(_) => answer(&mut self.renewed),
            // A lease with an end is retried until it expires.
            Event::NotRenewed(why) if *self.lease.borrow() == LeaseState::Held(None) => {
                answer_once(&mut self.renewed, why);
            }
            Event::Released => {
                self.end(Ok(None));
                answer(&mut self.released);
            }
            Event::NotReleased(why) if self.outcome.is_some() => self.end(Err(why)),
            Event::NotReleased(why) => answer_once(&mut self.released, why),
            _ => {}
        }
    }

    fn end(&mut self, outcome: Outcome<P>) {
        if let Some(who) = self.outcome.take() {
            let _ = who.send(outcome);
        }
    }
}

fn answer<P: Protocol>(waiting: &mut Replies<P>) {
    for who in waiting.drain(..) {
        let _ = who.send(Ok(()));
    }
}

/// Only one waiter can get the error; the others see that no answer will come.
fn answer_once<P: Protocol>(waiting: &mut Replies<P>, error: Failure<P>) {
    if let Some(who) = waiting.drain(..).next() {
        let _ = who.send(Err(error));
    }
}
