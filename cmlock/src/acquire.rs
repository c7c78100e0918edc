//! Acquiring a lock: creation decides, what is over is deleted, what is not is waited for.

use std::{future::Future, pin::Pin, time::Duration};

use coord_core::{
    boottime,
    kube::Error as KubeError,
    lease::{Backoff, Crowd, Random, Timer},
};
use k8s_openapi::api::core::v1::ConfigMap;

use crate::{
    Client, Error, Event, Obstacle, Record, Verdict,
    client::CONFIGMAPS,
    error::{Kind, whole},
    follow::{Follow, News},
    holder::Holder,
    judge::{judge, look_again},
    lock::Wanted,
    owner::OwnerWatch,
    record,
};

/// How long a server that has never answered is tried.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest pause between two tries of a server that does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long the watch may take to tell of an object that is known to be there, before it is read.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// A lock that was acquired.
pub(crate) struct Grant {
    pub(crate) holder: Holder,
    /// As it is on the server.
    pub(crate) object: ConfigMap,
    pub(crate) record: Record,
    /// On `CLOCK_BOOTTIME`.
    pub(crate) deadline: Option<Duration>,
}

pub(crate) type Cancel = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One attempt, from its beginning to its end.
pub(crate) struct Acquisition {
    client: Client,
    wanted: Wanted,
    holder: Holder,
    clock: Limits,
    seen: Seen,
    follow: Option<Follow<ConfigMap>>,
    owner: OwnerWatch,
    /// None as long as nobody was seen to be faster at a hand-off.
    crowd: Option<Crowd>,
    random: Random,
    told: Option<Obstacle>,
}

/// What is known of the object.
enum Seen {
    /// There is none.
    Nothing,
    /// There is one, or was; it is to be read.
    Unread,
    /// There is one; the watch tells about it, or it is read at this time.
    Unheard(Duration),
    /// This one.
    Object(Box<ConfigMap>),
}

/// When to stop trying.
struct Limits {
    started: Duration,
    /// The time at which the wait is over, and how long it was.
    limit: Option<(Duration, Duration)>,
    cancel: Cancel,
    cancelled: bool,
    timer: Timer,
    backoff: Backoff,
    /// The server has answered something.
    answered: bool,
    /// It does not answer now; why.
    trouble: Option<String>,
}

/// Why a request or a pause is not waited for any more.
enum Ended {
    Cancelled,
    Limit,
}

impl Limits {
    fn new(wait: Option<Duration>, cancel: Cancel) -> Result<Self, Kind> {
        let started = boottime();
        Ok(Self {
            started,
            limit: wait
                .filter(|wait| !wait.is_zero())
                .map(|wait| (started.saturating_add(wait), wait)),
            cancel,
            cancelled: false,
            timer: Timer::new().map_err(Kind::Timer)?,
            backoff: Backoff::new(LONGEST_PAUSE),
            answered: false,
            trouble: None,
        })
    }

    /// Does something that may be left half done.
    async fn within<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Ended> {
        if self.cancelled {
            return Err(Ended::Cancelled);
        }
        tokio::select! {
            done = work => Ok(done),
            () = &mut self.cancel => {
                self.cancelled = true;
                Err(Ended::Cancelled)
            }
            () = self.timer.until(self.limit.map(|(at, _)| at)) => Err(Ended::Limit),
        }
    }

    /// The error for the end of the wait; `why` says what was in the way.
    fn error(&self, ended: &Ended, why: Option<&Obstacle>) -> Kind {
        let text = match (&self.trouble, why) {
            (Some(trouble), _) => trouble.clone(),
            (None, Some(obstacle)) => format!("it is {obstacle}"),
            (None, None) => "the API server has not answered yet".to_owned(),
        };
        match (ended, self.limit) {
            (Ended::Limit, Some((_, wait))) => Kind::TimedOut(wait, text),
            _ => Kind::Cancelled,
        }
    }
}

impl Acquisition {
    /// Acquires the lock: the outcome, with nothing left behind when that is an error.
    pub(crate) async fn run(
        client: Client,
        wanted: Wanted,
        cancel: Cancel,
    ) -> Result<Grant, Error> {
        let name = wanted.name.clone();
        let run = async {
            let mut limits = Limits::new(wanted.wait, cancel)?;
            let id = wanted.new_id();
            let holder = loop {
                match limits.within(client.holder(&id)).await {
                    Ok(Ok(holder)) => break holder,
                    Ok(Err(Kind::Cluster(error))) => trouble(&mut limits, &wanted, error).await?,
                    Ok(Err(kind)) => return Err(kind),
                    Err(ended) => return Err(limits.error(&ended, None)),
                }
            };
            fine(&mut limits, &wanted);
            if let Some(name) = client.ignored_container(&holder) {
                wanted.tell(&Event::NoContainer(name.to_owned()));
            }
            let random = Random::new(wanted.random());
            let owner = OwnerWatch::new(&client)?;
            let (seen, crowd) = (Seen::Nothing, None);
            let mut acquisition = Self {
                client,
                wanted,
                holder,
                clock: limits,
                seen,
                follow: None,
                owner,
                crowd,
                random,
                told: None,
            };
            acquisition.acquire().await
        };
        run.await.map_err(|kind: Kind| kind.of(&name))
    }

    async fn acquire(&mut self) -> Result<Grant, Kind> {
        loop {
            let step = match std::mem::replace(&mut self.seen, Seen::Unread) {
                Seen::Nothing => self.create().await?,
                Seen::Unread => self.read().await?,
                Seen::Unheard(at) => {
                    self.seen = Seen::Unheard(at);
                    self.wait(Some(at)).await?;
                    if boottime() >= at && matches!(self.seen, Seen::Unheard(_)) {
                        self.seen = Seen::Unread;
                    }
                    None
                }
                Seen::Object(object) => self.consider(object).await?,
            };
            if let Some(grant) = step {
                return Ok(grant);
            }
        }
    }

    /// Tries to be the one whose creation counts. It is waited for to its end: what becomes of it must be known.
    async fn create(&mut self) -> Result<Option<Grant>, Kind> {
        let now = self.client.now().ok_or(Kind::NoClock)?;
        self.owner.freshen(&mut self.holder);
        let expires = self.wanted.hold.map(|hold| now.expiry(hold));
        let object = record::new(
            &self.wanted.name,
            &self.wanted.labels,
            &self.holder,
            expires,
        );
        let created = self.client.create(&self.wanted.name, &object).await;
        if let Some(crowd) = &mut self.crowd {
            crowd.answered_after(boottime().saturating_sub(now.local));
        }
        match created {
            Ok(object) => {
                fine(&mut self.clock, &self.wanted);
                self.granted(object).await.map(Some)
            }
            Err(error) if error.status() == Some(409) => {
                fine(&mut self.clock, &self.wanted);
                if self.follow.is_some() {
                    self.crowd.get_or_insert_default().collided();
                }
                let heard_by = boottime() + HEARD_WITHIN;
                self.seen = if self.follow.is_some() {
                    Seen::Unheard(heard_by)
                } else {
                    Seen::Unread
                };
                Ok(None)
            }
            Err(error) => {
                // Unless the server has refused it, it may be there, or may come yet.
                self.seen = if error.had_no_effect() {
                    Seen::Nothing
                } else {
                    Seen::Unread
                };
                self.trouble(error).await?;
                Ok(None)
            }
        }
    }

    async fn read(&mut self) -> Result<Option<Grant>, Kind> {
        self.seen = Seen::Unread;
        self.follow = None;
        let name = self.wanted.name.clone();
        let read = self
            .clock
            .within(self.client.get::<ConfigMap>(CONFIGMAPS, &name))
            .await;
        match read {
            Ok(Ok(found)) => {
                fine(&mut self.clock, &self.wanted);
                self.is(found);
            }
            Ok(Err(error)) => self.trouble(error).await?,
            Err(ended) => return Err(self.ended(ended, None).await),
        }
        Ok(None)
    }

    fn is(&mut self, found: Option<ConfigMap>) {
        let Some(object) = found else {
            self.seen = Seen::Nothing;
            return;
        };
        if self.follow.is_none() {
            let version = object
                .metadata
                .resource_version
                .as_deref()
                .unwrap_or_default();
            self.follow = Some(Follow::new(
                &self.client,
                CONFIGMAPS,
                &self.wanted.name,
                version,
            ));
        }
        self.seen = Seen::Object(Box::new(object));
    }

    /// What the object means, and what is to be done.
    async fn consider(&mut self, object: Box<ConfigMap>) -> Result<Option<Grant>, Kind> {
        let record = Record::read(&object)?;
        self.owner.is(&record.owner);
        let now = self.client.now();
        let obstacle = match judge(&record, &self.owner.state, now, Some(&self.holder)) {
            Verdict::Ours => return self.granted(*object).await.map(Some),
            Verdict::Free(why) => {
                self.wanted.tell(&Event::Freeing(why));
                self.delete(&record).await?;
                return Ok(None);
            }
            Verdict::Held(obstacle) => obstacle,
        };
        self.seen = Seen::Object(object);
        if self.owner.is_due() {
            self.read_owner().await?;
            return Ok(None);
        }
        if self.wanted.wait == Some(Duration::ZERO) {
            return Err(Kind::Held(obstacle));
        }
        if self.told.as_ref() != Some(&obstacle) {
            self.wanted.tell(&Event::Waiting(obstacle.clone()));
            self.told = Some(obstacle);
        }
        self.wait(look_again(&record, now)).await?;
        Ok(None)
    }

    async fn read_owner(&mut self) -> Result<(), Kind> {
        match self.clock.within(self.owner.read()).await {
            Ok(Ok(())) => {
                fine(&mut self.clock, &self.wanted);
                Ok(())
            }
            Ok(Err(error)) => self.trouble(error).await,
            Err(ended) => Err(self.ended(ended, None).await),
        }
    }

    /// Deletes what is over: this version of it, so that nothing that came meanwhile is hit.
    async fn delete(&mut self, record: &Record) -> Result<(), Kind> {
        self.seen = Seen::Unread;
        match self.clock.within(self.client.delete(record)).await {
            Ok(Ok(())) => {
                fine(&mut self.clock, &self.wanted);
                self.seen = Seen::Nothing;
                Ok(())
            }
            // It has changed, or is another one by now.
            Ok(Err(error)) if error.status() == Some(409) => Ok(()),
            Ok(Err(error)) => self.trouble(error).await,
            Err(ended) => Err(self.ended(ended, None).await),
        }
    }

    /// Waits for something to happen, or for this time.
    async fn wait(&mut self, until: Option<Duration>) -> Result<(), Kind> {
        let Self {
            clock,
            follow,
            owner,
            ..
        } = self;
        let mut timer = Timer::new().map_err(Kind::Timer)?;
        let news = async {
            match follow {
                Some(follow) => follow.next().await,
                None => std::future::pending().await,
            }
        };
        let event = clock.within(async {
            tokio::select! {
                news = news => Happened::News(news),
                changed = owner.changed() => Happened::Owner(changed),
                () = timer.until(until) => Happened::Time,
            }
        });
        match event.await {
            Ok(Happened::News(Ok(news))) => self.hear(news).await,
            Ok(Happened::News(Err(error))) => {
                self.seen = Seen::Unread;
                self.trouble(error).await
            }
            Ok(Happened::Owner(Ok(()))) => {
                if let Some(why) = self.owner.refused.as_mut().filter(|why| !why.is_empty()) {
                    self.wanted
                        .tell(&Event::NotWatchingPods(std::mem::take(why)));
                }
                Ok(())
            }
            Ok(Happened::Owner(Err(error))) => {
                self.owner.read_in(LONGEST_PAUSE);
                self.trouble(error).await
            }
            Ok(Happened::Time) => Ok(()),
            Err(ended) => Err(self.ended(ended, self.told.clone()).await),
        }
    }

    async fn hear(&mut self, news: News<ConfigMap>) -> Result<(), Kind> {
        match news {
            News::Is(object) => self.seen = Seen::Object(object),
            News::Unsure => self.seen = Seen::Unread,
            News::Gone => {
                self.seen = Seen::Nothing;
                self.spread_out().await?;
            }
        }
        Ok(())
    }

    /// Of many who wait, few try at once: others may be seen to be faster meanwhile.
    async fn spread_out(&mut self) -> Result<(), Kind> {
        let (Some(crowd), Some(follow)) = (&mut self.crowd, &mut self.follow) else {
            return Ok(());
        };
        let pause = crowd.pause(&mut self.random);
        let mut timer = Timer::new().map_err(Kind::Timer)?;
        let heard = self.clock.within(async {
            tokio::select! {
                news = follow.next() => Some(news),
                () = timer.until(Some(boottime() + pause)) => None,
            }
        });
        match heard.await {
            Ok(Some(Ok(News::Is(object)))) => {
                crowd.spared();
                self.seen = Seen::Object(object);
            }
            // Whatever else there is to hear is heard again.
            Ok(Some(_)) => self.seen = Seen::Unread,
            Ok(None) => {}
            Err(ended) => return Err(self.ended(ended, self.told.clone()).await),
        }
        Ok(())
    }

    async fn granted(&mut self, object: ConfigMap) -> Result<Grant, Kind> {
        let record = Record::read(&object)?;
        let deadline = match (record.expires, self.client.now()) {
            (Some(expires), Some(now)) => Some(now.deadline(expires)),
            _ => None,
        };
        if self.is_cancelled() {
            give_back(&self.client, &self.wanted, &record).await;
            return Err(Kind::Cancelled);
        }
        self.wanted.wrote(record.expires);
        self.wanted.tell(&Event::Acquired(record.expires));
        Ok(Grant {
            holder: self.holder.clone(),
            object,
            record,
            deadline,
        })
    }

    fn is_cancelled(&mut self) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        self.clock.cancelled =
            self.clock.cancelled || self.clock.cancel.as_mut().poll(&mut context).is_ready();
        self.clock.cancelled
    }

    /// The wait is over. A creation that may have been done is looked for.
    async fn ended(&mut self, ended: Ended, why: Option<Obstacle>) -> Kind {
        if matches!(self.seen, Seen::Unread) {
            let name = self.wanted.name.clone();
            if let Ok(Some(object)) = self.client.get::<ConfigMap>(CONFIGMAPS, &name).await
                && let Ok(record) = Record::read(&object)
                && record.is_held_by(&self.holder)
            {
                give_back(&self.client, &self.wanted, &record).await;
            }
        }
        self.clock.error(&ended, why.as_ref())
    }

    async fn trouble(&mut self, error: KubeError) -> Result<(), Kind> {
        let done = trouble(&mut self.clock, &self.wanted, error).await;
        if let (Err(_), true) = (&done, matches!(self.seen, Seen::Unread)) {
            self.ended(Ended::Cancelled, None).await;
        }
        done
    }
}

/// What a wait ends with.
enum Happened {
    News(Result<News<ConfigMap>, KubeError>),
    Owner(Result<(), KubeError>),
    Time,
}

async fn give_back(client: &Client, wanted: &Wanted, record: &Record) {
    if let Err(error) = client.delete(record).await {
        wanted.tell(&Event::NotReleased(whole(&error)));
    }
}

fn fine(limits: &mut Limits, wanted: &Wanted) {
    limits.answered = true;
    limits.backoff.reset();
    if limits.trouble.take().is_some() {
        wanted.tell(&Event::Reachable);
    }
}

/// A request failed: a pause when it may do better later, an error when not.
async fn trouble(limits: &mut Limits, wanted: &Wanted, error: KubeError) -> Result<(), Kind> {
    let impatient = !limits.answered && boottime() >= limits.started + PATIENCE;
    if !error.is_transient() || impatient {
        return Err(error.into());
    }
    if limits.trouble.is_none() {
        wanted.tell(&Event::Unreachable(whole(&error)));
    }
    limits.trouble = Some(whole(&error));
    let mut random = Random::new(wanted.random());
    let pause = limits.backoff.pause(&mut random, error.retry_after());
    let paused = limits.within(tokio::time::sleep(pause)).await;
    paused.map_err(|ended| limits.error(&ended, None))
}
