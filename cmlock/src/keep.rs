//! While a lock is held: its object is watched, its expiry moved on, and in the end it is deleted.

use std::{future::Future, pin::Pin, time::Duration};

use coord_core::{boottime, errno::with_sources};
use coord_kube::Error as KubeError;
use coord_lease::{Backoff, Belief, Random, Timer};
use k8s_openapi::api::core::v1::ConfigMap;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Client, Event, Lost, Obstacle, Record, Time,
    acquire::Grant,
    client::CONFIGMAPS,
    error::Kind,
    follow::{Follow, News},
    holder::Holder,
    limits::LONGEST_PAUSE,
    lock::Wanted,
    record,
};

/// How long a release is tried where no expiry says when it is over by itself.
const RELEASE_WITHIN: Duration = Duration::from_secs(30);

/// Where this user may not watch it.
const REREAD: Duration = Duration::from_secs(10);

/// What whoever holds the other end wants.
#[derive(Debug)]
pub(crate) enum Order {
    Release(Option<oneshot::Sender<Result<(), Kind>>>),
    /// Leave everything as it is, and end.
    Detach,
}

type Request = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What came of a request, and what was known before it was sent.
enum Answer {
    Read(Result<Option<ConfigMap>, KubeError>),
    Extended(Result<ConfigMap, KubeError>),
}

/// Keeps one lock.
pub(crate) struct Keeper {
    client: Client,
    wanted: Wanted,
    holder: Holder,
    object: ConfigMap,
    record: Record,
    belief: watch::Sender<Belief>,
    /// None while it is not watched.
    follow: Option<Follow<ConfigMap>>,
    request: Option<Request>,
    /// When to do what next, on `CLOCK_BOOTTIME`.
    extend_at: Option<Duration>,
    read_at: Option<Duration>,
    backoff: Backoff,
    random: Random,
}

impl Keeper {
    pub(crate) fn new(
        client: Client,
        wanted: Wanted,
        grant: Grant,
        belief: watch::Sender<Belief>,
    ) -> Self {
        let follow = Follow::new(&client, CONFIGMAPS, &wanted.name, &grant.record.version);
        let random = Random::new(wanted.random());
        let mut keeper = Self {
            client,
            wanted,
            holder: grant.holder,
            object: grant.object,
            record: grant.record,
            belief,
            follow: Some(follow),
            request: None,
            extend_at: None,
            read_at: None,
            backoff: Backoff::new(LONGEST_PAUSE),
            random,
        };
        keeper.extend_later();
        keeper
    }

    /// Until it is released, or left alone.
    pub(crate) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let (Ok(mut deadline), Ok(mut next)) = (Timer::new(), Timer::new()) else {
            self.lose(Lost::Expired);
            return self.obey(orders.recv().await).await;
        };
        loop {
            let held = self.deadline();
            let holds = matches!(*self.belief.borrow(), Belief::Held(_));
            let idle = self.request.is_none();
            let at = [self.extend_at, self.read_at].into_iter().flatten().min();
            let Self {
                request, follow, ..
            } = &mut self;
            tokio::select! {
                order = orders.recv() => return self.obey(order).await,
                () = deadline.until(held), if holds => self.lose(Lost::Expired),
                answer = answer(request), if holds => {
                    self.request = None;
                    self.answered(answer);
                }
                news = heard(follow), if holds => self.hear(news),
                () = next.until(at), if holds && idle => self.begin(),
            }
        }
    }

    fn deadline(&self) -> Option<Duration> {
        match *self.belief.borrow() {
            Belief::Held(deadline) => deadline,
            Belief::Lost(_) => None,
        }
    }

    fn extend_later(&mut self) {
        self.extend_at = self.wanted.extend.map(|interval| boottime() + interval);
    }

    fn soon(&mut self, asked: Option<Duration>) -> Duration {
        boottime() + self.backoff.pause(&mut self.random, asked)
    }

    /// Reads first, where both are due: whoever extends must know the object.
    fn begin(&mut self) {
        let (client, name) = (self.client.clone(), self.wanted.name.clone());
        self.request = Some(if self.read_at.is_some_and(|at| at <= boottime()) {
            self.read_at = None;
            Box::pin(async move { Answer::Read(client.get(CONFIGMAPS, &name).await) })
        } else {
            self.extend_at = None;
            let object = self.extended();
            Box::pin(async move { Answer::Extended(client.update(&name, &object).await) })
        });
    }

    /// The object with a later expiry; all the rest of it as it was seen last.
    fn extended(&self) -> ConfigMap {
        let mut object = self.object.clone();
        if let (Some(hold), Some(now)) = (self.wanted.hold, self.client.now()) {
            let expires = now.expiry(hold);
            object
                .data
                .get_or_insert_default()
                .extend(record::data(Some(expires)));
        }
        object
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Extended(Ok(object)) => {
                self.backoff.reset();
                self.extend_later();
                self.is(object);
            }
            Answer::Extended(Err(error)) => {
                self.wanted.tell(&Event::NotExtended(with_sources(&error)));
                // It may have been done, or the object may have changed: what is there says so.
                self.read_at = Some(self.soon(error.retry_after()));
            }
            Answer::Read(Ok(Some(object))) => self.read(object),
            Answer::Read(Ok(None)) => self.lose(Lost::Deleted),
            Answer::Read(Err(error)) => {
                self.wanted.tell(&Event::NotWatched(with_sources(&error)));
                self.read_at = Some(self.soon(error.retry_after()));
            }
        }
    }

    /// It was read because an extension failed, or because it is not watched.
    fn read(&mut self, object: ConfigMap) {
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        self.is(object);
        if self.wanted.extend.is_some() && self.extend_at.is_none() {
            self.extend_at = Some(self.soon(None));
        }
        if self.follow.is_none() {
            self.follow = Some(Follow::new(
                &self.client,
                CONFIGMAPS,
                &self.wanted.name,
                &version,
            ));
        }
    }

    fn hear(&mut self, news: Result<News<ConfigMap>, KubeError>) {
        match news {
            Ok(News::Is(object)) => {
                self.backoff.reset();
                self.is(*object);
            }
            Ok(News::Gone) => self.lose(Lost::Deleted),
            Ok(News::Unsure) => self.unwatched(Duration::ZERO),
            Err(error) => {
                self.wanted.tell(&Event::NotWatched(with_sources(&error)));
                // What is not allowed will not be allowed soon.
                let pause = if error.is_transient() {
                    Duration::ZERO
                } else {
                    REREAD
                };
                self.unwatched(pause);
            }
        }
    }

    /// It is read before it is watched again.
    fn unwatched(&mut self, pause: Duration) {
        self.follow = None;
        self.read_at = Some(self.soon(None) + pause);
    }

    /// The object is this now.
    fn is(&mut self, object: ConfigMap) {
        match Record::read(&object) {
            Ok(record) if record.is_held_by(&self.holder) => self.holds(object, record),
            _ => self.lose(Lost::Taken),
        }
    }

    fn holds(&mut self, object: ConfigMap, record: Record) {
        // What the watch tells may be older than what an answer told.
        let before = (
            self.record.version.parse::<u64>(),
            record.version.parse::<u64>(),
        );
        if matches!(before, (Ok(known), Ok(told)) if told < known) {
            return;
        }
        if record.expires != self.record.expires {
            self.moved(record.expires);
        }
        self.object = object;
        self.record = record;
    }

    /// Whoever changed the expiry: it counts for all others, and so for us.
    fn moved(&mut self, expires: Option<Time>) {
        let deadline = match (expires, self.client.now()) {
            (Some(expires), Some(now)) => Some(now.deadline(expires)),
            _ => None,
        };
        if matches!(*self.belief.borrow(), Belief::Held(_)) {
            self.belief.send_replace(Belief::Held(deadline));
            self.wanted.wrote(expires);
            if let Some(until) = expires {
                self.wanted.tell(&Event::Extended(until));
            }
        }
    }

    fn lose(&mut self, why: Lost) {
        self.request = None;
        self.belief.send_replace(Belief::Lost(why));
        self.wanted.tell(&Event::Lost(why));
    }

    async fn obey(mut self, order: Option<Order>) {
        let answer = match order {
            Some(Order::Detach) => return,
            Some(Order::Release(answer)) => answer,
            None => None,
        };
        // An extension that is under way counts, or fails on the version.
        self.request = None;
        let released = self.release().await;
        match &released {
            Ok(()) => self.wanted.tell(&Event::Released),
            Err(kind) => self.wanted.tell(&Event::NotReleased(kind.text())),
        }
        self.wanted.wrote(None);
        if let Some(answer) = answer {
            let _ = answer.send(released);
        }
    }

    /// Deletes the object, and no other: again with a newer version when it has changed.
    async fn release(&mut self) -> Result<(), Kind> {
        if matches!(*self.belief.borrow(), Belief::Lost(Lost::Deleted)) {
            return Ok(());
        }
        let until = boottime() + RELEASE_WITHIN;
        loop {
            let error = match self.client.delete(&self.record).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.status() != Some(409) {
                self.pause(error, until).await?;
            }
            match self
                .client
                .get::<ConfigMap>(CONFIGMAPS, &self.wanted.name)
                .await
            {
                Ok(None) => return Ok(()),
                Ok(Some(object)) => self.record = still_ours(&object, &self.holder)?,
                Err(error) => self.pause(error, until).await?,
            }
        }
    }

    async fn pause(&mut self, error: KubeError, until: Duration) -> Result<(), Kind> {
        if !error.is_transient() || boottime() >= until {
            return Err(error.into());
        }
        let pause = self.backoff.pause(&mut self.random, error.retry_after());
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

async fn answer(request: &mut Option<Request>) -> Answer {
    match request {
        Some(request) => request.await,
        None => std::future::pending().await,
    }
}

async fn heard(follow: &mut Option<Follow<ConfigMap>>) -> Result<News<ConfigMap>, KubeError> {
    match follow {
        Some(follow) => follow.next().await,
        None => std::future::pending().await,
    }
}

/// What is to be deleted, or whose it is.
pub(crate) fn still_ours(object: &ConfigMap, holder: &Holder) -> Result<Record, Kind> {
    let record = Record::read(object)?;
    if record.is_held_by(holder) {
        return Ok(record);
    }
    Err(Kind::Held(Obstacle::of(&record)))
}
