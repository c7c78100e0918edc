//! Decides whether a lock is free, who holds it otherwise, and when to check again. No clocks and
//! no requests here.

use std::fmt;

use coord_core::BootInstant;

use crate::{
    Time,
    holder::{Container, Holder, OwnerState},
    record::{ContainerRun, Owner, Record},
    time::ClockBounds,
};

/// The meaning of an object for somebody who wants the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was written for this holder.
    Ours,
    /// Nobody holds it: this version of it may be deleted.
    Free(FreeReason),
    /// Somebody holds it.
    Held(HeldBy),
}

/// Why a lock's object no longer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FreeReason {
    /// The hold expired at this time.
    Expired(Time),
    /// The owner Pod no longer exists, or another Pod has its name.
    OwnerGone(Owner),
    /// The owner Pod's phase is `Failed` or `Succeeded`.
    OwnerFinished(Owner, String),
    /// The holder's container has been restarted since.
    Restarted(Owner, ContainerRun),
}

/// Who holds the lock, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBy {
    owner: Owner,
    holder: Option<String>,
    expires: Option<Time>,
    /// The object is about to be deleted.
    deleting: bool,
    /// It is our own Pod, and it is unknown whether the holder's container was restarted.
    same_pod: bool,
    /// The holder recorded its container.
    in_container: bool,
}

/// Judges an object by its owner Pod and the server's clock. If the clock is unknown, nothing
/// counts as expired.
pub(crate) fn judge(
    record: &Record,
    owner: &OwnerState,
    now: Option<ClockBounds>,
    us: Option<&Holder>,
) -> Verdict {
    if us.is_some_and(|us| record.is_held_by(us)) && !record.deleting {
        return Verdict::Ours;
    }
    match freed(record, owner, now) {
        // It cannot be deleted twice; we notice when it is gone.
        Some(freed) if !record.deleting => Verdict::Free(freed),
        _ => {
            let unclear = match (&record.run, owner) {
                (Some(run), OwnerState::Alive(containers)) => counted(run, containers).is_some(),
                (run, _) => run.is_none(),
            };
            Verdict::Held(HeldBy {
                same_pod: unclear && us.is_some_and(|us| us.owner.uid == record.owner.uid),
                ..HeldBy::of(record)
            })
        }
    }
}

/// The local time at which this object must be checked again, even if nothing happens to it.
pub(crate) fn look_again(record: &Record, now: Option<ClockBounds>) -> Option<BootInstant> {
    Some(now?.look_again(record.expires?)).filter(|_| !record.deleting)
}

pub(crate) fn freed(
    record: &Record,
    owner: &OwnerState,
    now: Option<ClockBounds>,
) -> Option<FreeReason> {
    let whose = || record.owner.clone();
    match owner {
        OwnerState::Gone => return Some(FreeReason::OwnerGone(whose())),
        OwnerState::Finished(phase) => {
            return Some(FreeReason::OwnerFinished(whose(), phase.clone()));
        }
        OwnerState::Alive(containers) => {
            if let (Some(run), Some(since)) = (&record.run, record.since)
                && counted(run, containers).is_some_and(|now| now.has_turned_since(since))
            {
                return Some(FreeReason::Restarted(whose(), run.clone()));
            }
        }
        OwnerState::Unknown => {}
    }
    let expires = record.expires?;
    now?.is_past(expires)
        .then_some(FreeReason::Expired(expires))
}

/// The container of this run, if its restart count is higher by now. That alone proves nothing: the
/// kubelet reports a restart a moment later, so the holder may have recorded the count of the
/// previous run.
fn counted<'a>(run: &ContainerRun, containers: &'a [Container]) -> Option<&'a Container> {
    containers
        .iter()
        .find(|now| now.run.container == run.container && now.run.restarts > run.restarts)
}

impl HeldBy {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            owner: record.owner.clone(),
            holder: record.holder.clone(),
            expires: record.expires,
            deleting: record.deleting,
            same_pod: false,
            in_container: record.run.is_some(),
        }
    }

    /// Whether both are the same except for the expiry.
    #[cfg(feature = "client")]
    pub(crate) fn differs_by_expiry_at_most(&self, other: &Self) -> bool {
        let with_ours = Self {
            expires: self.expires,
            ..other.clone()
        };
        *self == with_ours
    }
}

impl fmt::Display for FreeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(at) => write!(f, "it expired at {at}"),
            Self::OwnerGone(owner) => write!(f, "its Pod {:?} is gone", owner.name),
            Self::OwnerFinished(owner, phase) => {
                write!(f, "its Pod {:?} has ended ({phase})", owner.name)
            }
            Self::Restarted(owner, run) => {
                write!(
                    f,
                    "container {:?} of Pod {:?} has been restarted since",
                    run.container, owner.name
                )
            }
        }
    }
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held by Pod {:?}", self.owner.name)?;
        if let Some(holder) = &self.holder {
            write!(f, " (holder {holder})")?;
        }
        match self.expires {
            _ if self.deleting => {
                return f.write_str(", about to be deleted: a finalizer keeps it");
            }
            Some(at) => write!(f, " until {at}")?,
            None => f.write_str(", without expiry")?,
        }
        if self.same_pod {
            // It may be a dead process of the same container; nothing in the object tells.
            f.write_str("; that is this Pod itself: unless another process of it holds the lock, end it with `cmlock release`")?;
            if !self.in_container {
                f.write_str(", and give --container from now on")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use coord_lease::engine::{NewLease, Nonce};
    use k8s_openapi::api::core::v1::Pod;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::record::tests::holder;

    const NOW: u64 = 1_900_000_000;

    fn now() -> Option<ClockBounds> {
        let shown = Duration::from_secs(NOW);
        Some(ClockBounds {
            local: BootInstant::after_boot(Duration::from_secs(5)),
            earliest: shown,
            latest: shown + Duration::from_secs(1),
        })
    }

    fn record(expires: Option<u64>) -> Record {
        let other = Holder {
            id: "id-2".to_owned(),
            ..holder()
        };
        let object = crate::record::new(
            "x",
            &std::collections::BTreeMap::new(),
            &other,
            expires.map(Time::from_secs),
            NewLease::new(Nonce(1)),
        );
        Record::read(&object).unwrap()
    }

    fn pod(uid: &str, status: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "web-0", "uid": uid}, "status": status}))
            .unwrap()
    }

    fn owner(status: &Value) -> OwnerState {
        OwnerState::of(&holder().owner, Some(&pod("p1", status)))
    }

    fn alive() -> OwnerState {
        owner(
            &json!({"phase": "Running", "containerStatuses": [{"name": "main", "restartCount": 2, "image": "", "imageID": "", "ready": true}]}),
        )
    }

    #[test]
    fn the_owner_decides() {
        for phase in ["Pending", "Running", "Unknown"] {
            let verdict = judge(&record(None), &owner(&json!({"phase": phase})), now(), None);
            assert!(matches!(verdict, Verdict::Held(_)), "{phase}");
        }
        for phase in ["Succeeded", "Failed"] {
            let verdict = judge(&record(None), &owner(&json!({"phase": phase})), now(), None);
            assert!(
                matches!(verdict, Verdict::Free(FreeReason::OwnerFinished(..))),
                "{phase}"
            );
        }
        let another = pod("p2", &json!({"phase": "Running"}));
        for pod in [None, Some(&another)] {
            let verdict = judge(
                &record(None),
                &OwnerState::of(&holder().owner, pod),
                now(),
                None,
            );
            assert!(matches!(verdict, Verdict::Free(FreeReason::OwnerGone(_))));
        }
    }

    /// A container with this restart count, last restarted at this second.
    fn restarted(name: &str, count: i32, second: u64) -> OwnerState {
        let began = humantime::format_rfc3339(UNIX_EPOCH + Duration::from_secs(second));
        let state = json!({"running": {"startedAt": began.to_string()}});
        owner(
            &json!({"phase": "Running", "containerStatuses": [{"name": name, "restartCount": count, "state": state, "image": "", "imageID": "", "ready": true}]}),
        )
    }

    #[test]
    fn a_restart_of_the_same_container_frees_it() {
        let mut record = record(None);
        record.since = Some(NOW);
        let with =
            |name, count, second| judge(&record, &restarted(name, count, second), now(), None);
        assert!(matches!(
            with("main", 3, NOW + 1),
            Verdict::Free(FreeReason::Restarted(..))
        ));
        for (name, count) in [("main", 2), ("main", 1), ("other", 9)] {
            assert!(
                matches!(with(name, count, NOW + 1), Verdict::Held(_)),
                "{name} {count}"
            );
        }
    }

    /// The holder may have recorded the previous run's count. A run that began before the record
    /// was written is its own.
    #[test]
    fn a_higher_count_alone_does_not_free_it() {
        let mut record = record(None);
        record.since = Some(NOW);
        for second in [NOW - 5, NOW] {
            let Verdict::Held(obstacle) = judge(
                &record,
                &restarted("main", 3, second),
                now(),
                Some(&holder()),
            ) else {
                panic!("freed at {second}");
            };
            let text = obstacle.to_string();
            assert!(text.ends_with("`cmlock release`"), "{text}");
        }
        record.since = None;
        let verdict = judge(&record, &restarted("main", 3, NOW + 9), now(), None);
        assert!(matches!(verdict, Verdict::Held(_)));
    }

    #[test]
    fn ours_is_ours_and_one_that_goes_is_nobodys_to_delete() {
        let other = Holder {
            id: "id-2".to_owned(),
            ..holder()
        };
        assert_eq!(
            judge(&record(Some(1)), &OwnerState::Gone, now(), Some(&other)),
            Verdict::Ours
        );
        let mut deleting = record(Some(1));
        deleting.deleting = true;
        for us in [None, Some(&other)] {
            assert!(matches!(
                judge(&deleting, &OwnerState::Gone, now(), us),
                Verdict::Held(_)
            ));
        }
        assert_eq!(look_again(&deleting, now()), None);
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let text = |record: &Record, us| match judge(record, &alive(), now(), us) {
            Verdict::Held(obstacle) => obstacle.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            text(&record(Some(NOW + 1)), None),
            "held by Pod \"web-0\" (holder id-2) until 2030-03-17T17:46:41Z"
        );
        assert_eq!(
            text(&record(None), None),
            "held by Pod \"web-0\" (holder id-2), without expiry"
        );
        let mut without = record(None);
        without.run = None;
        let us = holder();
        assert!(text(&without, Some(&us)).contains("cmlock release"));
        // A container that was not restarted needs no hint, and another Pod is not ours.
        assert!(!text(&record(None), Some(&us)).contains("cmlock release"));
        let mut elsewhere = holder();
        elsewhere.owner.uid = "p2".to_owned();
        assert!(!text(&without, Some(&elsewhere)).contains("cmlock release"));
        without.deleting = true;
        assert!(text(&without, None).contains("about to be deleted"));
    }

    #[cfg(feature = "client")]
    #[test]
    fn a_holder_that_extends_its_lock_is_the_same_one() {
        let held_by = |expires, deleting| {
            let mut record = record(expires);
            record.deleting = deleting;
            HeldBy::of(&record)
        };
        let held = held_by(Some(NOW), false);
        assert!(held.differs_by_expiry_at_most(&held_by(Some(NOW + 9), false)));
        assert!(held.differs_by_expiry_at_most(&held_by(None, false)));
        assert!(!held.differs_by_expiry_at_most(&held_by(Some(NOW), true)));
    }

    proptest! {
        /// Only the owner's end frees a lock without expiry.
        #[test]
        fn time_frees_just_what_has_an_expiry(expires in proptest::option::of(NOW - 100..NOW + 100), seen in any::<bool>()) {
            let record = record(expires);
            let now = now().filter(|_| seen);
            let verdict = judge(&record, &alive(), now, None);
            let over = seen && expires.is_some_and(|at| at <= NOW);
            prop_assert_eq!(matches!(verdict, Verdict::Free(FreeReason::Expired(_))), over);
            prop_assert_eq!(matches!(verdict, Verdict::Held(_)), !over);
            prop_assert_eq!(look_again(&record, now).is_some(), seen && expires.is_some());
        }
    }
}
