//! One object, followed by a watch.

use std::{fmt::Debug, future::Future, pin::Pin};

use coord_core::Errno;
use coord_kube::{Error as KubeError, Event, Watch};
use k8s_openapi::NamespaceResourceScope;
use kube::api::WatchParams;
use serde::de::DeserializeOwned;

use crate::Client;

/// What is heard of an object.
#[derive(Debug)]
pub(crate) enum Heard<K> {
    /// It is there, new or changed.
    Written(Box<K>),
    /// It was deleted.
    Deleted,
    /// Nothing more is heard: it must be read again.
    Lost,
}

type Begin<K> = Pin<Box<dyn Future<Output = Result<Watch<K>, KubeError>> + Send>>;

/// Follows one object from a version on. A watch that the server ends is begun again where it ended.
pub(crate) struct Follow<K> {
    client: Client,
    resource: &'static str,
    name: String,
    since: String,
    state: State<K>,
}

enum State<K> {
    Off,
    Beginning(Begin<K>),
    On(Watch<K>),
}

impl<K> Follow<K>
where
    K: kube::Resource<Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
    K::DynamicType: Default,
{
    pub(crate) fn new(client: &Client, resource: &'static str, name: &str, since: &str) -> Self {
        Self {
            client: client.clone(),
            resource,
            name: name.to_owned(),
            since: since.to_owned(),
            state: State::Off,
        }
    }

    /// The version that was heard of last.
    pub(crate) fn since(&self) -> &str {
        &self.since
    }

    /// Waits for the next change. It may be dropped and called again.
    pub(crate) async fn hear(&mut self) -> Result<Heard<K>, KubeError> {
        loop {
            let heard = match &mut self.state {
                State::Off => {
                    self.state = State::Beginning(self.begin());
                    continue;
                }
                State::Beginning(begin) => match begin.await {
                    Ok(watch) => {
                        self.state = State::On(watch);
                        continue;
                    }
                    Err(error) => Err(error),
                },
                State::On(watch) => watch.next().await,
            };
            match heard {
                Ok(Some(Event::Applied(object))) => {
                    self.seen(&object);
                    return Ok(Heard::Written(Box::new(object)));
                }
                Ok(Some(Event::Deleted(object))) => {
                    self.seen(&object);
                    return Ok(Heard::Deleted);
                }
                Ok(Some(Event::Bookmark(version))) => self.since = version,
                Ok(None) => self.state = State::Off,
                Err(error) => {
                    self.state = State::Off;
                    return if error.errno() == Errno::ESTALE {
                        Ok(Heard::Lost)
                    } else {
                        Err(error)
                    };
                }
            }
        }
    }

    fn seen(&mut self, object: &K) {
        if let Some(version) = &object.meta().resource_version {
            self.since.clone_from(version);
        }
    }

    fn begin(&self) -> Begin<K> {
        let (client, since) = (self.client.clone(), self.since.clone());
        let action = client.action("watch", self.resource, &self.name);
        let selection = WatchParams::default().fields(&format!("metadata.name={}", self.name));
        Box::pin(async move {
            client
                .cluster()
                .watch(&client.api::<K>(), action, &selection, &since)
                .await
        })
    }
}
