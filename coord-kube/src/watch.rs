//! A watch that continues when the server ends a request, and fails instead of hanging.

use std::{fmt::Debug, future::Future, pin::Pin, time::Duration};

use coord_core::Errno;
use futures::{Stream, StreamExt};
use kube::{
    Api, Resource,
    api::{WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::{Action, Cluster, Error};

/// How long one watch request may last. The server then ends it, and the next request continues
/// from there.
const LASTS: Duration = Duration::from_secs(30);

/// After a request that lasted this long, the next one follows at once.
const LASTING: Duration = Duration::from_secs(10);

/// Before the others there are pauses, which double from the first to the last of these.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The changes of objects of one kind since a version.
///
/// The server ends a watch from time to time. The watch then continues after the last event. It
/// does so at once, or with growing pauses if the server, or a proxy in front of it, ends each
/// request early. If the server is silent for longer than a request lasts, that is an error, so a
/// lost connection is noticed.
pub struct Watch<K> {
    request: Request<K>,
    /// The newest version received, from which to continue.
    since: Option<String>,
    /// When the last request was sent.
    begun_at: Instant,
    /// How long to wait before the next request, if this one ends early.
    pause: Duration,
    state: State<K>,
}

/// What happened.
#[derive(Debug)]
pub enum Event<K> {
    /// The object exists and is new or changed.
    Applied(K),
    /// The object was deleted; this is its last state.
    Deleted(K),
}

#[derive(Clone)]
struct Request<K> {
    cluster: Cluster,
    api: Api<K>,
    action: Action,
    selection: WatchParams,
}

enum State<K> {
    Beginning(Pin<Box<dyn Future<Output = Result<Events<K>, Error>> + Send>>),
    On(Events<K>),
    Over,
}

type Events<K> = Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<K>>> + Send>>;

impl Cluster {
    /// Watches one object, or all with a label, after a version. Without a version, the watch first
    /// reports the objects that exist now. A version that the server no longer knows is not an
    /// error here: such a watch is [over](Watch::next).
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub async fn watch<K>(
        &self,
        api: &Api<K>,
        action: Action,
        selection: &WatchParams,
        since: Option<&str>,
    ) -> Result<Watch<K>, Error>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let seconds = u32::try_from(LASTS.as_secs()).unwrap_or(u32::MAX);
        let request = Request {
            cluster: self.clone(),
            api: api.clone(),
            action,
            selection: selection.clone().timeout(seconds),
        };
        let mut watch = Watch {
            request,
            since: since.map(str::to_owned),
            begun_at: Instant::now(),
            pause: FIRST_PAUSE,
            state: State::Over,
        };
        watch.begin_after(Duration::ZERO);
        watch.begun().await?;
        Ok(watch)
    }
}

impl<K> Watch<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// Waits for the next event. Returns `None` when the watch is over and the objects must be read
    /// again: the server cannot continue from the last version (410), or never reported one.
    ///
    /// # Errors
    /// As for [`Cluster::watch`], and `ETIMEDOUT` when the server is silent for too long. The watch
    /// is then over, too.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Result<Option<Event<K>>, Error> {
        // The server may need as long to report the end as for any other answer.
        let idle = LASTS + self.request.cluster.timeout();
        loop {
            let Some(events) = self.begun().await? else {
                return Ok(None);
            };
            let Ok(event) = tokio::time::timeout(idle, events.next()).await else {
                self.state = State::Over;
                return Err(Error::silent(self.request.action.clone(), idle));
            };
            let event = match event {
                None if self.since.is_some() => {
                    self.begin_again();
                    continue;
                }
                None => {
                    self.state = State::Over;
                    continue;
                }
                Some(Ok(WatchEvent::Error(status))) => Err(kube::Error::Api(status)),
                Some(event) => event,
            };
            match event {
                Err(error) => self.end(Error::of(self.request.action.clone(), error))?,
                Ok(event) => {
                    if let Some(event) = self.parse_event(event) {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    /// The newest version received, or the one at which the watch began.
    #[must_use]
    pub fn since(&self) -> Option<&str> {
        self.since.as_deref()
    }

    /// Continues after the server ended the request.
    fn begin_again(&mut self) {
        if self.begun_at.elapsed() >= LASTING {
            self.pause = FIRST_PAUSE;
            self.begin_after(Duration::ZERO);
        } else {
            let pause = self.pause;
            self.pause = (pause * 2).min(LAST_PAUSE);
            self.begin_after(pause);
        }
    }

    fn begin_after(&mut self, pause: Duration) {
        let request = self.request.clone();
        // An empty version: the server starts with the current state, not with a cached one.
        let since = self.since.clone().unwrap_or_default();
        self.begun_at = Instant::now() + pause;
        self.state = State::Beginning(Box::pin(async move {
            let Request {
                cluster,
                api,
                action,
                selection,
            } = request;
            // Even a timer of zero length would delay the request until the runtime checks its
            // timers.
            if !pause.is_zero() {
                sleep(pause).await;
            }
            let watch = || api.watch(&selection, &since);
            let events = cluster.call(action, watch).await?;
            Ok(events.fuse().boxed())
        }));
    }

    /// The events; `None` when the watch is over.
    async fn begun(&mut self) -> Result<Option<&mut Events<K>>, Error> {
        if let State::Beginning(begin) = &mut self.state {
            match begin.await {
                Ok(events) => self.state = State::On(events),
                Err(error) => self.end(error)?,
            }
        }
        Ok(match &mut self.state {
            State::On(events) => Some(events),
            State::Beginning(_) | State::Over => None,
        })
    }

    /// Ends the watch. A version that is too old is not an error.
    fn end(&mut self, error: Error) -> Result<(), Error> {
        self.state = State::Over;
        match error.errno() {
            Errno::ESTALE => Ok(()),
            _ => Err(error),
        }
    }

    fn parse_event(&mut self, event: WatchEvent<K>) -> Option<Event<K>> {
        let version = match &event {
            WatchEvent::Added(object)
            | WatchEvent::Modified(object)
            | WatchEvent::Deleted(object) => object.meta().resource_version.clone(),
            WatchEvent::Bookmark(mark) => Some(mark.metadata.resource_version.clone()),
            WatchEvent::Error(_) => None,
        };
        if version.is_some() && !is_older(version.as_deref(), self.since()) {
            self.since = version;
        }
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                Some(Event::Applied(object))
            }
            WatchEvent::Deleted(object) => Some(Event::Deleted(object)),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => None,
        }
    }
}

/// The events for existing objects come first and in no order: the newest version counts.
fn is_older(version: Option<&str>, known: Option<&str>) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    let numbers = (version.and_then(number), known.and_then(number));
    matches!(numbers, (Some(version), Some(known)) if version < known)
}
