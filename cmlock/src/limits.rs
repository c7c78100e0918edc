//! When to stop trying, and how often to try.

use std::{future::Future, pin::Pin, time::Duration};

use coord_core::{boottime, errno::with_sources};
use coord_kube::Error as KubeError;
use coord_lease::{Backoff, Random, Timer};

use crate::{Client, Event, Obstacle, error::Kind, holder::Holder, lock::Wanted};

pub(crate) type Cancel = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long a server that has never answered is tried.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest pause between two tries of a server that does not answer.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// When to stop trying.
pub(crate) struct Limits {
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
pub(crate) enum Ended {
    Cancelled,
    Limit,
}

impl Limits {
    pub(crate) fn new(wait: Option<Duration>, cancel: Cancel) -> Result<Self, Kind> {
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
    pub(crate) async fn within<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Ended> {
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
    pub(crate) fn error(&self, ended: &Ended, why: Option<&Obstacle>) -> Kind {
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

    /// Whether the caller wants no more.
    pub(crate) fn is_cancelled(&mut self) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        self.cancelled = self.cancelled || self.cancel.as_mut().poll(&mut context).is_ready();
        self.cancelled
    }

    /// The server has answered.
    pub(crate) fn fine(&mut self, wanted: &Wanted) {
        self.answered = true;
        self.backoff.reset();
        if self.trouble.take().is_some() {
            wanted.tell(&Event::Reachable);
        }
    }

    /// A request failed: a pause when it may do better later, an error when not.
    pub(crate) async fn trouble(&mut self, wanted: &Wanted, error: KubeError) -> Result<(), Kind> {
        let impatient = !self.answered && boottime() >= self.started + PATIENCE;
        if !error.is_transient() {
            return Err(error.into());
        }
        if impatient {
            return Err(Kind::Unanswered(error));
        }
        if self.trouble.is_none() {
            wanted.tell(&Event::Unreachable(with_sources(&error)));
        }
        self.trouble = Some(with_sources(&error));
        let mut random = Random::new(wanted.random());
        let pause = self.backoff.pause(&mut random, error.retry_after());
        let paused = self.within(tokio::time::sleep(pause)).await;
        paused.map_err(|ended| self.error(&ended, None))
    }

    /// Who we are: the Pod is read, as soon as the server answers.
    pub(crate) async fn holder(
        &mut self,
        client: &Client,
        wanted: &Wanted,
    ) -> Result<Holder, Kind> {
        let id = wanted.new_id();
        let holder = loop {
            match self.within(client.holder(&id)).await {
                Ok(Ok(holder)) => break holder,
                Ok(Err(Kind::Cluster(error))) => self.trouble(wanted, error).await?,
                Ok(Err(kind)) => return Err(kind),
                Err(ended) => return Err(self.error(&ended, None)),
            }
        };
        self.fine(wanted);
        if let Some(name) = client.ignored_container(&holder) {
            wanted.tell(&Event::NoContainer(name.to_owned()));
        }
        Ok(holder)
    }
}
