//! A program that uses client-go's leader election on the same Lease. Whatever its clock shows, it
//! and our contenders exclude each other.

use std::time::Duration;

use coord_lease::Random;
use k8s_openapi::api::coordination::v1::Lease;
use kube::core::{ApiResource, DynamicObject};
use lockheed::Timestamp;
use serde_json::{Value, json};

use super::{
    go::{Did, Foreign},
    lease::LeaseObject,
    network::millis,
};

/// An hour: its clock is off by up to this, either way.
const HOUR: u64 = 3_600_000;

#[derive(Debug)]
pub(super) struct ClientGo {
    life: u32,
    /// `LeaseDuration`, in seconds.
    length: u64,
    /// What its wall clock showed at the beginning.
    clock: Duration,
    /// The fields of the Lease, and when it first saw them so.
    observed: Option<(Value, Duration)>,
    /// When it began its latest try.
    tried: Duration,
    leading: Option<Leading>,
}

#[derive(Debug)]
struct Leading {
    /// `RenewDeadline` after its last renewal began.
    until: Duration,
    /// When it gives the lock back.
    works_until: Duration,
    releases: bool,
}

impl ClientGo {
    pub(super) fn new(random: &mut Random) -> Self {
        let clock = Duration::from_secs(1_800_000_000) + millis(random, 2 * HOUR);
        Self {
            life: 0,
            length: 2 + random.number() % 8,
            clock: clock - Duration::from_millis(HOUR),
            observed: None,
            tried: Duration::ZERO,
            leading: None,
        }
    }

    fn lease_duration(&self) -> Duration {
        Duration::from_secs(self.length)
    }

    fn renew_deadline(&self) -> Duration {
        self.lease_duration() * 2 / 3
    }

    fn retry_period(&self) -> Duration {
        self.lease_duration() / 6
    }

    /// Whether somebody else holds it, by what was seen of it.
    fn is_held(&self, at: Duration) -> bool {
        let Some((spec, since)) = &self.observed else {
            return false;
        };
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        let seconds = spec["leaseDurationSeconds"].as_u64().unwrap_or_default();
        !holder.is_empty() && holder != self.id() && *since + Duration::from_secs(seconds) > at
    }

    /// The Lease with its own name as the holder's, or with nobody's.
    fn write(&self, there: Option<&LeaseObject>, at: Duration) -> LeaseObject {
        let mut object = there.map_or_else(
            || DynamicObject::new("lock", &ApiResource::erase::<Lease>(&())),
            |LeaseObject(there)| there.clone(),
        );
        let before = object.data["spec"].clone();
        let now = json!(Timestamp::from_unix(self.clock + at).to_string());
        let transitions = before["leaseTransitions"].as_i64().unwrap_or_default();
        let is_its_own = before["holderIdentity"] == json!(self.id());
        let releases = self.leading.as_ref().is_some_and(|it| it.releases);
        object.data = if releases {
            json!({"spec": {"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now,
                "renewTime": now, "leaseTransitions": transitions}})
        } else {
            let acquired = if is_its_own {
                &before["acquireTime"]
            } else {
                &now
            };
            let more = i64::from(there.is_some() && !is_its_own);
            json!({"spec": {"holderIdentity": self.id(), "leaseDurationSeconds": self.length,
                "acquireTime": acquired, "renewTime": now, "leaseTransitions": transitions + more}})
        };
        LeaseObject(object)
    }
}

impl Foreign<LeaseObject> for ClientGo {
    const BY_ITS_CLOCK: bool = false;

    fn id(&self) -> String {
        format!("go-{}", self.life)
    }

    fn die(&mut self) {
        self.life += 1;
        self.observed = None;
        self.leading = None;
    }

    fn ends_work(&mut self, at: Duration) -> bool {
        let Some(leading) = &mut self.leading else {
            return false;
        };
        if at >= leading.until {
            self.leading = None;
            return true;
        }
        let ends = at >= leading.works_until && !leading.releases;
        leading.releases |= ends;
        ends
    }

    fn next(
        &mut self,
        there: Option<&LeaseObject>,
        at: Duration,
        _: &mut Random,
    ) -> Option<LeaseObject> {
        self.tried = at;
        if let Some(LeaseObject(there)) = there {
            let spec = &there.data["spec"];
            if self.observed.as_ref().is_none_or(|(seen, _)| seen != spec) {
                self.observed = Some((spec.clone(), at));
            }
        }
        let is_held = there.is_some() && self.is_held(at);
        (!is_held).then(|| self.write(there, at))
    }

    fn did(&mut self, written: &LeaseObject, at: Duration, random: &mut Random) -> Did {
        self.observed = Some((written.0.data["spec"].clone(), at));
        if self.leading.as_ref().is_some_and(|it| it.releases) {
            self.die();
            return Did::Ended;
        }
        let until = self.tried + self.renew_deadline();
        match &mut self.leading {
            Some(leading) => leading.until = until,
            None => {
                let works_until = at + millis(random, 12_000);
                self.leading = Some(Leading {
                    until,
                    works_until,
                    releases: false,
                });
            }
        }
        Did::Took(until, self.retry_period())
    }

    fn failed(&mut self) {}
}
