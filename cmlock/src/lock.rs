//! A lock, and how it is wanted.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use coord_core::{boottime, is_dns_subdomain};
use tokio::sync::oneshot;

use crate::{Client, Error, Event, Held, acquire::Acquisition, error::Kind, record};

pub(crate) type Handler = Arc<dyn Fn(&Event) + Send + Sync>;

/// A lock by its name, and how it is wanted.
#[derive(Clone)]
pub struct Lock {
    client: Client,
    timeout: Option<Duration>,
    wanted: Wanted,
}

/// How a lock is wanted.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// None for ever, zero for not at all.
    pub(crate) wait: Option<Duration>,
    /// None for no expiry.
    pub(crate) hold: Option<Duration>,
    /// How often the expiry is moved on; none for never.
    pub(crate) extend: Option<Duration>,
    /// The object's data as it was written last.
    pub(crate) data: Arc<Mutex<BTreeMap<String, String>>>,
    handler: Option<Handler>,
}

impl Lock {
    /// A lock of this name: the name of its ConfigMap, in the namespace of the client's Pod.
    ///
    /// The timeout is both how long to wait and how long the lock may be held; none, or zero, is to wait for ever and to have no expiry.
    #[must_use]
    pub fn new(client: &Client, name: &str, timeout: Option<Duration>) -> Self {
        let timeout = timeout.filter(|timeout| !timeout.is_zero());
        let wanted = Wanted {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            wait: timeout,
            hold: timeout,
            extend: None,
            data: Arc::default(),
            handler: None,
        };
        Self {
            client: client.clone(),
            timeout,
            wanted,
        }
    }

    /// Puts these labels on the object.
    #[must_use]
    pub fn with_labels<K: Into<String>, V: Into<String>>(
        mut self,
        labels: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.wanted.labels = labels
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        self
    }

    /// Waits so long at most, whatever the timeout is; zero is not to wait at all.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wanted.wait = Some(wait);
        self
    }

    /// Waits for ever, whatever the timeout is.
    #[must_use]
    pub fn wait_for_ever(mut self) -> Self {
        self.wanted.wait = None;
        self
    }

    /// Holds it so long at most, whatever the timeout is; zero is without expiry.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.wanted.hold = Some(hold).filter(|hold| !hold.is_zero());
        self
    }

    /// Moves the expiry on while the lock is held, this often, for the whole time that it may be held. It needs the right to update.
    #[must_use]
    pub fn extend_every(mut self, interval: Duration) -> Self {
        self.wanted.extend = Some(interval).filter(|interval| !interval.is_zero());
        self
    }

    /// Calls this for each event, in the background: it must not block.
    #[must_use]
    pub fn on_event(mut self, handler: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.wanted.handler = Some(Arc::new(handler));
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.wanted.name
    }

    /// The timeout it was made with.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The `data` of its object as this lock has written it last: `expiresAt` in Unix seconds, when there is an expiry. Empty before it was acquired.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, String> {
        self.wanted
            .data
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for the lock, and takes it. Dropping the future ends the wait, and nothing stays behind.
    ///
    /// # Errors
    /// See [`Error`]: `ETIMEDOUT` when the wait ran out, `EBUSY` when somebody holds it and it is not to be waited for, and those of the
    /// requests. A server that goes away is waited for, one that has never answered for 30 s.
    pub async fn acquire(&self) -> Result<Held, Error> {
        self.acquire_unless(std::future::pending()).await
    }

    /// The same, until `cancel` is ready.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and `ECANCELED`, as soon as nothing is left behind.
    pub async fn acquire_unless(
        &self,
        cancel: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Held, Error> {
        if !is_dns_subdomain(&self.wanted.name) {
            return Err(Kind::Name.of(&self.wanted.name));
        }
        let (_alive, dropped) = oneshot::channel::<()>();
        let cancel = async {
            tokio::select! {
                () = cancel => {}
                _ = dropped => {}
            }
        };
        let (client, wanted) = (self.client.clone(), self.wanted.clone());
        let acquired = tokio::spawn(async move {
            let grant = Acquisition::run(client.clone(), wanted.clone(), Box::pin(cancel)).await?;
            Ok(Held::new(client, wanted, grant))
        });
        match acquired.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Kind::Cancelled.of(&self.wanted.name)),
        }
    }
}

impl Wanted {
    pub(crate) fn tell(&self, event: &Event) {
        if let Some(handler) = &self.handler {
            handler(event);
        }
    }

    pub(crate) fn wrote(&self, expires: Option<crate::Time>) {
        *self.data.lock().unwrap_or_else(PoisonError::into_inner) = record::data(expires);
    }

    /// Enough to tell all holders apart.
    pub(crate) fn new_id(&self) -> String {
        format!("{:016x}{:016x}", self.random(), self.random())
    }

    #[allow(clippy::unused_self, reason = "it is asked for where a lock is wanted")]
    pub(crate) fn random(&self) -> u64 {
        getrandom::u64().unwrap_or_else(|_| {
            let since = boottime();
            u64::from(std::process::id()) << 32
                ^ u64::from(since.subsec_nanos())
                ^ since.as_secs() << 30
        })
    }
}
