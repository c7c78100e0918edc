//! Acquiring a lock: creation decides, what is over is deleted, what is not is waited for.

use std::time::Duration;

use coord_core::{boottime, errno::with_sources};
use coord_kube::Error as KubeError;
use coord_lease::{Crowd, Random, Timer};
use k8s_openapi::api::core::v1::ConfigMap;

use crate::{
    Client, Error, Event, Obstacle, Record, Verdict,
    client::CONFIGMAPS,
    error::Kind,
    follow::{Follow, News},
    holder::Holder,
    judge::{judge, look_again},
    limits::{Cancel, Ended, LONGEST_PAUSE, Limits},
    lock::Wanted,
    owner::OwnerWatch,
    record,
};

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

/// One attempt, from its beginning to its end.
pub(crate) struct Acquisition {
    client: Client,
    wanted: Wanted,
    holder: Holder,
    limits: Limits,
    seen: Seen,
    follow: Option<Follow<ConfigMap>>,
    owner: OwnerWatch,
    /// None as long as nobody was seen to be faster at a hand-off.
    crowd: Option<Crowd>,
    random: Random,
    told: Option<Obstacle>,
    /// A creation may have been done without an answer.
    uncertain: bool,
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
            let holder = limits.holder(&client, &wanted).await?;
            Self::new(client, wanted, holder, limits)?.acquire().await
        };
        run.await.map_err(|kind: Kind| kind.of(&name))
    }

    fn new(client: Client, wanted: Wanted, holder: Holder, limits: Limits) -> Result<Self, Kind> {
        Ok(Self {
            owner: OwnerWatch::new(&client)?,
            random: Random::new(wanted.random()),
            client,
            wanted,
            holder,
            limits,
            seen: Seen::Nothing,
            follow: None,
            crowd: None,
            told: None,
            uncertain: false,
        })
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
                self.limits.fine(&self.wanted);
                self.granted(object).await.map(Some)
            }
            Err(error) if error.status() == Some(409) => {
                self.limits.fine(&self.wanted);
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
                let refused = error.had_no_effect();
                self.uncertain |= !refused;
                self.seen = if refused { Seen::Nothing } else { Seen::Unread };
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
            .limits
            .within(self.client.get::<ConfigMap>(CONFIGMAPS, &name))
            .await;
        match read {
            Ok(Ok(found)) => {
                self.limits.fine(&self.wanted);
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
        match self.limits.within(self.owner.read()).await {
            Ok(Ok(())) => {
                self.limits.fine(&self.wanted);
                Ok(())
            }
            Ok(Err(error)) => self.trouble(error).await,
            Err(ended) => Err(self.ended(ended, None).await),
        }
    }

    /// Deletes what is over: this version of it, so that nothing that came meanwhile is hit.
    async fn delete(&mut self, record: &Record) -> Result<(), Kind> {
        self.seen = Seen::Unread;
        match self.limits.within(self.client.delete(record)).await {
            Ok(Ok(())) => {
                self.limits.fine(&self.wanted);
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
            limits,
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
        let event = limits.within(async {
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
        let begun = boottime();
        let pause = crowd.pause(&mut self.random);
        let mut timer = Timer::new().map_err(Kind::Timer)?;
        let heard = self.limits.within(async {
            tokio::select! {
                news = follow.next() => Some(news),
                () = timer.until(Some(boottime() + pause)) => None,
            }
        });
        match heard.await {
            Ok(Some(Ok(News::Is(object)))) => {
                crowd.spared(boottime().saturating_sub(begun));
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
        if self.limits.is_cancelled() {
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

    /// The wait is over. A creation that may have been done is looked for.
    async fn ended(&mut self, ended: Ended, why: Option<Obstacle>) -> Kind {
        if self.uncertain {
            let name = self.wanted.name.clone();
            if let Ok(Some(object)) = self.client.get::<ConfigMap>(CONFIGMAPS, &name).await
                && let Ok(record) = Record::read(&object)
                && record.is_held_by(&self.holder)
            {
                give_back(&self.client, &self.wanted, &record).await;
            }
        }
        self.limits.error(&ended, why.as_ref())
    }

    async fn trouble(&mut self, error: KubeError) -> Result<(), Kind> {
        let done = self.limits.trouble(&self.wanted, error).await;
        if let (Err(_), true) = (&done, self.uncertain) {
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
        wanted.tell(&Event::NotReleased(with_sources(&error)));
    }
}
