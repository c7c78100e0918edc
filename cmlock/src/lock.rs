//! A lock, with the settings for acquiring it.

use std::{
    collections::BTreeMap,
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use coord_core::{check_label, is_dns_subdomain};
use coord_lease::{
    engine::{Engine, Goal, Settings, Wait},
    start,
};

use crate::{
    Client, Error, Event, Held,
    error::Kind,
    event::{Handler, Reporter},
    place::Place,
    protocol::{self, Written},
    record,
    request::Failed,
};

/// A lock on the API server.
pub(crate) type PodLock = protocol::PodLock<Failed>;

/// A lock by its name, with the settings for acquiring it.
///
/// ```no_run
/// use std::time::Duration;
///
/// # async fn example(client: cmlock::Client) -> Result<(), cmlock::Error> {
/// let lock = cmlock::Lock::new(&client, "migrate").wait(Duration::from_secs(600));
/// let held = lock.acquire().await?;
/// // The work that no other Pod may do at the same time.
/// held.release().await
/// # }
/// ```
#[derive(Clone)]
pub struct Lock {
    client: Client,
    name: String,
    labels: BTreeMap<String, String>,
    wait: Wait,
    /// How long it is held; `None` without expiry.
    hold: Option<Duration>,
    /// How often the expiry is extended; `None` for never.
    extend: Option<Duration>,
    written: Written,
    handler: Option<Handler>,
}

impl Lock {
    /// A lock of this name, which is also the name of its ConfigMap, in the namespace of the
    /// client's Pod. By default it waits without limit, and the lock has no expiry.
    #[must_use]
    pub fn new(client: &Client, name: &str) -> Self {
        Self {
            client: client.clone(),
            name: name.to_owned(),
            labels: BTreeMap::new(),
            wait: Wait::Forever,
            hold: None,
            extend: None,
            written: Written::default(),
            handler: None,
        }
    }

    /// Adds these labels to the object.
    #[must_use]
    pub fn with_labels<K: Into<String>, V: Into<String>>(
        mut self,
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.labels = labels
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        self
    }

    /// Waits at most this long; zero means not to wait.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Wait::at_most(wait);
        self
    }

    /// Lets the lock expire this long after it is acquired or [extended](Self::extend_every); zero
    /// means no expiry.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = Some(hold).filter(|hold| !hold.is_zero());
        self
    }

    /// Extends the expiry at this interval while the lock is held, each time by the duration that
    /// `hold` sets, counted from then. It needs the right to update.
    #[must_use]
    pub fn extend_every(mut self, interval: Duration) -> Self {
        self.extend = Some(interval).filter(|interval| !interval.is_zero());
        self
    }

    /// Calls this for each event, in the background: it must not block.
    #[must_use]
    pub fn on_event(mut self, handler: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `data` of its object as this lock last wrote it: `expiresAt` in Unix seconds, if there
    /// is an expiry. Empty before the lock is acquired.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, String> {
        record::data(self.written.get().flatten())
    }

    /// Waits for the lock and acquires it.
    ///
    /// # Errors
    /// See [`Error`]: `ETIMEDOUT` when the wait timed out, `EBUSY` when somebody holds it and the
    /// caller does not wait, and those of the requests. If the server goes away, this keeps
    /// waiting; if it has never answered, it waits for 30 s.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait; everything that it wrote is removed in the background.
    pub async fn acquire(&self) -> Result<Held, Error> {
        self.acquire_unless(pending()).await
    }

    /// Like [`acquire`](Self::acquire), until `cancel` is ready.
    ///
    /// # Errors
    /// As for [`acquire`](Self::acquire), and `ECANCELED`, as soon as nothing is left behind, which
    /// takes a second at most.
    ///
    /// # Cancel safety
    /// As for [`acquire`](Self::acquire).
    pub async fn acquire_unless(&self, cancel: impl Future<Output = ()>) -> Result<Held, Error> {
        if !is_dns_subdomain(&self.name) {
            return Err(Kind::Name.at(&self.name));
        }
        for (key, value) in &self.labels {
            check_label(key, value).map_err(|error| Kind::Label(error).at(&self.name))?;
        }
        let settings = Settings {
            goal: Goal::Acquire,
            length: self.hold,
            renew_interval: self.extend,
            wait: self.wait,
        };
        let expires = self.hold.is_some();
        let lock = PodLock::new(&self.name, expires)
            .with_labels(&self.labels)
            .telling(&self.written);
        let engine = Engine::new(lock, settings, self.client.now(), random());
        let place = Place::new(&self.client, &self.name, new_id());
        let mut reporter = Reporter::new(self.handler.clone(), self.written.clone());
        let started = start(engine, place, move |event| reporter.tell(event));
        let started = started.map_err(|error| Kind::Timer(error).at(&self.name))?;
        match started.acquired(cancel).await {
            Ok(held) => Ok(Held::new(&self.name, held)),
            Err(failure) => Err(Kind::from(failure).at(&self.name)),
        }
    }
}

/// Long enough to be unique.
fn new_id() -> String {
    format!("{:016x}{:016x}", random(), random())
}

/// From the kernel. If that fails, from values that differ between processes and moments.
fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        let since = coord_core::boottime();
        u64::from(std::process::id()) << 32
            ^ u64::from(since.subsec_nanos())
            ^ since.as_secs() << 30
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These are shared between threads, or sent to one.
    #[test]
    fn the_types_can_be_shared() {
        fn shared<T: Send + Sync>() {}
        shared::<Lock>();
        shared::<Held>();
        shared::<Error>();
        shared::<Event>();
    }
}
