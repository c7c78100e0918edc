//! Between the machine and the world: carries out its actions over a store, and tells it what happens.

use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};

use coord_core::{Errno, boottime};
use coord_lease::Timer;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    LockName,
    machine::{Action, Input, Machine, News},
    store::{Change, Object, Scope, Store, StoreError, StoreErrorKind, Version, Watch},
};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What whoever holds the other end wants.
#[derive(Debug)]
pub(crate) enum Order {
    Cancel,
    Renew,
    Release,
    /// Leave everything as it is, and end.
    Detach,
}

/// Drives one machine.
pub(crate) struct Driver<S: Store> {
    store: Arc<S>,
    name: LockName,
    machine: Machine,
    orders: mpsc::UnboundedReceiver<Order>,
    /// Nobody is left who could order anything.
    abandoned: bool,
    timer: Timer,
    /// Of each request.
    timeout: Duration,
    request: Option<Boxed<Input>>,
    watch: Watching<S::Watch>,
}

enum Watching<W> {
    Off,
    Beginning(Boxed<Result<W, StoreError>>),
    On(W),
}

impl<S: Store> Driver<S> {
    pub(crate) fn new(
        store: Arc<S>,
        name: LockName,
        machine: Machine,
        orders: mpsc::UnboundedReceiver<Order>,
        timeout: Duration,
    ) -> io::Result<Self> {
        Ok(Self {
            store,
            name,
            machine,
            orders,
            abandoned: false,
            timer: Timer::new()?,
            timeout,
            request: None,
            watch: Watching::Off,
        })
    }

    /// Runs until the machine is done, or is to be left alone.
    pub(crate) async fn run(mut self, mut tell: impl FnMut(News)) {
        self.machine.handle(Input::Time, boottime());
        loop {
            while let Some(action) = self.machine.action() {
                self.carry_out(action, &mut tell);
            }
            if self.machine.is_done() {
                return;
            }
            let Some(input) = self.next().await else {
                return;
            };
            self.machine.handle(input, boottime());
        }
    }

    fn carry_out(&mut self, action: Action, tell: &mut impl FnMut(News)) {
        match action {
            Action::Read => {
                let read = read(self.store.clone(), self.name.clone(), self.timeout);
                self.request = Some(Box::pin(read));
            }
            Action::Create(object) => self.write(object, true),
            Action::Update(object) => self.write(object, false),
            Action::Abandon => self.request = None,
            Action::Watch(since) => {
                let begin = begin(self.store.clone(), self.name.clone(), since, self.timeout);
                self.watch = Watching::Beginning(Box::pin(begin));
            }
            Action::Tell(news) => tell(news),
        }
    }

    fn write(&mut self, object: Object, create: bool) {
        let write = write(self.store.clone(), object, create, self.timeout);
        self.request = Some(Box::pin(write));
    }

    /// What happens next; none when everything is to be left as it is.
    async fn next(&mut self) -> Option<Input> {
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
            input = self.watch.next() => Some(input),
            () = self.timer.until(self.machine.wake_at()) => Some(Input::Time),
            order = self.orders.recv(), if !self.abandoned => self.ordered(order.as_ref()),
        }
    }

    fn ordered(&mut self, order: Option<&Order>) -> Option<Input> {
        match order {
            Some(Order::Cancel) => Some(Input::Cancel),
            Some(Order::Renew) => Some(Input::Renew),
            Some(Order::Release) => Some(Input::Release),
            Some(Order::Detach) => None,
            None => {
                self.abandoned = true;
                Some(Input::Abandoned)
            }
        }
    }
}

impl<W: Watch> Watching<W> {
    async fn next(&mut self) -> Input {
        loop {
            let change = match self {
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
            return self.told(change);
        }
    }

    fn told(&mut self, change: Result<Option<Change>, StoreError>) -> Input {
        match change {
            Ok(Some(change)) => return Input::Changed(change),
            Ok(None) => *self = Self::Off,
            Err(error) => {
                *self = Self::Off;
                return Input::WatchEnded(Some(error));
            }
        }
        Input::WatchEnded(None)
    }
}

async fn read<S: Store>(store: Arc<S>, name: LockName, limit: Duration) -> Input {
    let read = async {
        let object = match store.get(&name).await {
            Ok(object) => Some(object),
            Err(error) if error.kind() == StoreErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok((object, store.now().await?))
    };
    let answer = timeout(limit, read).await;
    Input::Read(answer.unwrap_or_else(|_| Err(silent(StoreErrorKind::Unavailable))))
}

async fn write<S: Store>(store: Arc<S>, object: Object, create: bool, limit: Duration) -> Input {
    let write = async {
        if create {
            store.create(&object).await
        } else {
            store.update(&object).await
        }
    };
    let answer = timeout(limit, write).await;
    Input::Written(answer.unwrap_or_else(|_| Err(silent(StoreErrorKind::Unknown))))
}

async fn begin<S: Store>(
    store: Arc<S>,
    name: LockName,
    since: Option<Version>,
    limit: Duration,
) -> Result<S::Watch, StoreError> {
    let scope = Scope::Lock(name);
    let begun = timeout(limit, store.watch(&scope, since.as_ref())).await;
    begun.unwrap_or_else(|_| Err(silent(StoreErrorKind::Unavailable)))
}

/// No answer came in time.
pub(crate) fn silent(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, Errno::ETIMEDOUT, "the store did not answer in time")
}
