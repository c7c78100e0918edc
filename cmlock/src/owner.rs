//! The owner Pod of the lock that is waited for: read, and then watched.

use std::time::Duration;

use coord_core::{Errno, boottime, errno::with_sources};
use coord_kube::Error as KubeError;
use coord_lease::Timer;
use k8s_openapi::api::core::v1::Pod;

use crate::{
    Client,
    client::PODS,
    error::Kind,
    follow::{Follow, News},
    holder::{Holder, OwnerState},
    record::Owner,
};

/// How long a new holder is left alone: most are done before their Pod is.
const SETTLED: Duration = Duration::from_secs(1);

/// Where this user may not watch Pods.
const REREAD: Duration = Duration::from_secs(10);

/// What is known of the owner of the lock that is waited for.
pub(crate) struct OwnerWatch {
    client: Client,
    owner: Option<Owner>,
    pub(crate) state: OwnerState,
    /// When to read it, on `CLOCK_BOOTTIME`; none while it is watched.
    read_at: Option<Duration>,
    follow: Option<Follow<Pod>>,
    timer: Timer,
    /// Why Pods cannot be watched.
    pub(crate) refused: Option<String>,
}

impl OwnerWatch {
    pub(crate) fn new(client: &Client) -> Result<Self, Kind> {
        Ok(Self {
            client: client.clone(),
            owner: None,
            state: OwnerState::Unknown,
            read_at: None,
            follow: None,
            timer: Timer::new().map_err(Kind::Timer)?,
            refused: None,
        })
    }

    /// This is the owner now. The first one is looked at at once.
    pub(crate) fn is(&mut self, owner: &Owner) {
        if self.owner.as_ref() == Some(owner) {
            return;
        }
        let settled = if self.owner.is_some() {
            SETTLED
        } else {
            Duration::ZERO
        };
        self.owner = Some(owner.clone());
        self.state = OwnerState::Unknown;
        self.follow = None;
        self.read_at = Some(boottime() + settled);
    }

    /// Who waited for a predecessor of its own container knows now how often that has been restarted.
    pub(crate) fn freshen(&self, holder: &mut Holder) {
        let ours = self.owner.as_ref() == Some(&holder.owner);
        if let (true, OwnerState::Alive(containers), Some(run)) =
            (ours, &self.state, &mut holder.run)
        {
            let runs = containers.iter().map(|container| &container.run);
            let now = runs.filter(|now| now.container == run.container);
            run.restarts = now.map(|now| now.restarts).fold(run.restarts, i32::max);
        }
    }

    /// Whether it should be read before anything is said of it.
    pub(crate) fn is_due(&self) -> bool {
        self.read_at.is_some_and(|at| at <= boottime())
    }

    /// Reads it at once, and begins to watch it.
    pub(crate) async fn read(&mut self) -> Result<(), KubeError> {
        let Some(owner) = &self.owner else {
            self.read_at = None;
            return Ok(());
        };
        let pod: Option<Pod> = self.client.get(PODS, &owner.name).await?;
        self.state = OwnerState::of(owner, pod.as_ref());
        let version = pod
            .and_then(|pod| pod.metadata.resource_version)
            .unwrap_or_default();
        if self.refused.is_some() {
            self.read_at = Some(boottime() + REREAD);
        } else {
            self.read_at = None;
            self.follow = matches!(self.state, OwnerState::Alive(_))
                .then(|| Follow::new(&self.client, PODS, &owner.name, &version));
        }
        Ok(())
    }

    /// Reads it again after this long: what was heard of it broke off.
    pub(crate) fn read_in(&mut self, pause: Duration) {
        self.follow = None;
        self.read_at = Some(boottime() + pause);
    }

    /// Waits until more is known, or it is to be read. It may be dropped and called again.
    pub(crate) async fn changed(&mut self) -> Result<(), KubeError> {
        let Some(follow) = &mut self.follow else {
            self.timer.until(self.read_at).await;
            return Ok(());
        };
        let (Some(owner), news) = (&self.owner, follow.next().await) else {
            return Ok(());
        };
        match news {
            Ok(News::Is(pod)) => self.state = OwnerState::of(owner, Some(&pod)),
            Ok(News::Gone) => self.state = OwnerState::Gone,
            Ok(News::Unsure) => self.read_in(Duration::ZERO),
            Err(error) if error.errno() == Errno::EACCES && !error.is_transient() => {
                self.refused = Some(with_sources(&error));
                self.read_in(REREAD);
            }
            Err(error) => return Err(error),
        }
        if !matches!(self.state, OwnerState::Alive(_)) {
            self.follow = None;
        }
        Ok(())
    }
}
