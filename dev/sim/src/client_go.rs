//! A program that uses client-go's leader election on the same Lease. Whatever its clock shows, it
//! and our contenders exclude each other.
//!
//! It does what `tools/leaderelection` of client-go does, with settings under which such programs
//! exclude each other. It leaves out: another program of this kind, a new one with the same
//! identity, and the write without a read (a leader that releases or renews by what it has read
//! long before).

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

/// An hour in milliseconds: its clock is off by up to this, either way.
const HOUR: u64 = 3_600_000;

#[derive(Debug)]
pub(super) struct ClientGo {
    life: u32,
    /// `LeaseDuration`, in seconds.
    length: u64,
    /// `RetryPeriod`: the time between two tries, and after a renewal.
    retry_period: Duration,
    /// `RenewDeadline`: how long it tries to renew.
    renew_deadline: Duration,
    /// What its wall clock showed at the beginning.
    clock: Duration,
    /// The record that it saw last, and when it first saw it so.
    observed: Option<(Seen, Duration)>,
    leading: Option<Leading>,
}

#[derive(Debug)]
struct Leading {
    /// When it stops if it cannot renew.
    until: Duration,
    /// When it gives the lock back.
    works_until: Duration,
    releases: bool,
}

/// What client-go compares to notice a renewal: the fields, with times in whole seconds.
#[derive(Debug, PartialEq)]
struct Seen {
    holder: String,
    seconds: u64,
    transitions: u64,
    times: [String; 2],
}

impl Seen {
    fn of(spec: &Value) -> Self {
        let text = |field: &str| spec[field].as_str().unwrap_or_default();
        let number = |field: &str| spec[field].as_u64().unwrap_or_default();
        let to_the_second = |field| text(field).split('.').next().unwrap_or_default().to_owned();
        Self {
            holder: text("holderIdentity").to_owned(),
            seconds: number("leaseDurationSeconds"),
            transitions: number("leaseTransitions"),
            times: ["acquireTime", "renewTime"].map(to_the_second),
        }
    }
}

impl ClientGo {
    pub(super) fn new(random: &mut Random) -> Self {
        let clock = Duration::from_secs(1_800_000_000) + millis(random, 2 * HOUR);
        let length = 2 + random.number() % 8;
        let share = |percent| Duration::from_secs(length) * percent / 100;
        let retry_period = share(10 + u32::try_from(random.number() % 15).unwrap_or(0));
        Self {
            life: 0,
            length,
            retry_period,
            renew_deadline: share(93) - retry_period,
            clock: clock - Duration::from_millis(HOUR),
            observed: None,
            leading: None,
        }
    }

    fn releases(&self) -> bool {
        let leading = self.leading.as_ref();
        leading.is_some_and(|leading| leading.releases)
    }

    fn observe(&mut self, object: &LeaseObject, at: Duration) {
        let seen = Seen::of(&object.0.data["spec"]);
        if self
            .observed
            .as_ref()
            .is_none_or(|(known, _)| *known != seen)
        {
            self.observed = Some((seen, at));
        }
    }

    /// Whether somebody else holds it, by what was seen of it.
    fn is_held(&self, at: Duration) -> bool {
        let Some((seen, since)) = &self.observed else {
            return false;
        };
        let is_others = !seen.holder.is_empty() && seen.holder != self.id();
        is_others && *since + Duration::from_secs(seen.seconds) > at
    }

    /// The Lease with its own name as the holder's.
    fn lead(&self, there: Option<&LeaseObject>, at: Duration) -> LeaseObject {
        let mut object = there.map_or_else(
            || DynamicObject::new("lock", &ApiResource::erase::<Lease>(&())),
            |LeaseObject(there)| there.clone(),
        );
        let before = &object.data["spec"];
        let (now, id) = (json!(self.time(at)), self.id());
        let is_its_own = before["holderIdentity"].as_str() == Some(&id);
        let acquired = if is_its_own {
            &before["acquireTime"]
        } else {
            &now
        };
        let transitions = before["leaseTransitions"].as_i64().unwrap_or_default();
        let more = i64::from(there.is_some() && !is_its_own);
        let spec = json!({"holderIdentity": id, "leaseDurationSeconds": self.length,
            "acquireTime": acquired, "renewTime": now, "leaseTransitions": transitions + more});
        object.data = json!({"spec": spec});
        LeaseObject(object)
    }

    /// The Lease with nobody as the holder.
    fn release(&self, LeaseObject(there): &LeaseObject, at: Duration) -> LeaseObject {
        let (mut object, now) = (there.clone(), self.time(at));
        let transitions = &there.data["spec"]["leaseTransitions"];
        let spec = json!({"holderIdentity": "", "leaseDurationSeconds": 1,
            "acquireTime": now, "renewTime": now, "leaseTransitions": transitions});
        object.data = json!({"spec": spec});
        LeaseObject(object)
    }

    /// The time on its own clock, with six digits, as the API server requires.
    fn time(&self, at: Duration) -> String {
        let time = self.clock + at;
        let second = Timestamp::from_unix(Duration::from_secs(time.as_secs()));
        let second = second.to_string();
        let second = second.trim_end_matches('Z');
        format!("{second}.{:06}Z", time.subsec_micros())
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
        if let Some(there) = there {
            self.observe(there, at);
        }
        if self.releases() {
            let is_its_own = |there: &&LeaseObject| {
                there.0.data["spec"]["holderIdentity"].as_str() == Some(&self.id())
            };
            let released = there
                .filter(is_its_own)
                .map(|there| self.release(there, at));
            if released.is_none() {
                self.die();
            }
            return released;
        }
        let is_held = there.is_some() && self.is_held(at);
        (!is_held).then(|| self.lead(there, at))
    }

    fn wait(&self, _: &mut Random) -> Duration {
        self.retry_period
    }

    fn retry(&self, _: &mut Random) -> Duration {
        self.retry_period
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.renew_deadline / 2)
    }

    fn did(&mut self, written: &LeaseObject, at: Duration, random: &mut Random) -> Did {
        self.observe(written, at);
        if self.releases() {
            self.die();
            return Did::Ended;
        }
        // It pauses, and then has all of RenewDeadline for the next renewal.
        let until = at + self.retry_period + self.renew_deadline;
        let works_until = at + millis(random, 12_000);
        let leading = self.leading.get_or_insert(Leading {
            until,
            works_until,
            releases: false,
        });
        leading.until = until;
        Did::Took {
            until,
            then: self.retry_period,
        }
    }

    /// A release is tried once.
    fn failed(&mut self) {
        if self.releases() {
            self.die();
        }
    }
}
