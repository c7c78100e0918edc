//! A watch that ends instead of hanging.

use std::{fmt::Debug, pin::Pin, time::Duration};

use futures::{Stream, StreamExt};
use kube::{
    Api,
    api::{WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;

use crate::{Action, Cluster, Error};

/// How long a watch may last. The server then ends it, and the caller begins another one where it ended.
const LASTS: Duration = Duration::from_secs(30);

/// The changes of objects of one kind since a version.
///
/// It ends by itself from time to time; the next one goes on from the version of the last event. A server that is silent for longer than a
/// watch lasts is an error, so that a lost connection is noticed.
pub struct Watch<K> {
    action: Action,
    idle: Duration,
    events: Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<K>>> + Send>>,
}

/// What happened.
#[derive(Debug)]
pub enum Event<K> {
    /// The object is there, new or changed.
    Applied(K),
    /// The object is gone; this is its last state.
    Deleted(K),
    /// Nothing happened up to this version.
    Bookmark(String),
}

impl Cluster {
    /// Watches one object, or all those with a label, from a version on: `0` is any state the server has at hand.
    ///
    /// # Errors
    /// As [`call`](Self::call); `ESTALE` when the server does not know the version any more.
    pub async fn watch<K>(
        &self,
        api: &Api<K>,
        action: Action,
        selection: &WatchParams,
        version: &str,
    ) -> Result<Watch<K>, Error>
    where
        K: Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let seconds = u32::try_from(LASTS.as_secs()).unwrap_or(u32::MAX);
        let selection = selection.clone().timeout(seconds);
        let events = self
            .call(action.clone(), || api.watch(&selection, version))
            .await?;
        Ok(Watch {
            action,
            // The server may take as long to say that it ends as to answer anything else.
            idle: LASTS + self.timeout(),
            events: Box::pin(events.fuse()),
        })
    }
}

impl<K> Watch<K> {
    /// Waits for the next event; none when the watch is over. It may be dropped and called again.
    ///
    /// # Errors
    /// As [`Cluster::watch`], and `ETIMEDOUT` when the server is silent for too long.
    pub async fn next(&mut self) -> Result<Option<Event<K>>, Error> {
        let event = match tokio::time::timeout(self.idle, self.events.next()).await {
            Err(_) => return Err(Error::silent(self.action.clone(), self.idle)),
            Ok(None) => return Ok(None),
            Ok(Some(event)) => event,
        };
        match event.map_err(|error| Error::of(self.action.clone(), error))? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                Ok(Some(Event::Applied(object)))
            }
            WatchEvent::Deleted(object) => Ok(Some(Event::Deleted(object))),
            WatchEvent::Bookmark(mark) => Ok(Some(Event::Bookmark(mark.metadata.resource_version))),
            WatchEvent::Error(status) => {
                Err(Error::of(self.action.clone(), kube::Error::Api(status)))
            }
        }
    }
}
