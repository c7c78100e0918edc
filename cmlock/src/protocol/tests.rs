mod steps;

use std::fmt;

use coord_lease::engine::{Effect, StoreTime};

use super::*;

#[derive(Debug)]
struct Failed(Effect);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it failed")
    }
}

impl std::error::Error for Failed {}

impl RequestError for Failed {
    fn effect(&self) -> Effect {
        self.0
    }

    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

/// The time this long after the boot, with these bounds on the server's clock.
fn at(boot: u64, earliest: u64, latest: u64) -> Moment {
    let [boot, earliest, latest] = [boot, earliest, latest].map(Duration::from_secs);
    Moment {
        boot: BootInstant::after_boot(boot),
        store: Some(StoreTime { earliest, latest }),
    }
}

fn lease(nonce: u64) -> NewLease {
    NewLease {
        length: Some(Duration::from_secs(6)),
        ..NewLease::new(Nonce(nonce))
    }
}

/// Tells the lock who we are.
fn us(lock: &mut PodLock<Failed>) -> Holder {
    let owner = Owner {
        name: "a".to_owned(),
        uid: "a-1".to_owned(),
    };
    let us = Holder::new("me", owner);
    lock.learn(&Subject::Us, Fact::Us(Ok(us.clone()), None));
    us
}

/// After a slow first answer, later answers may show that the clock is behind what was assumed. An
/// extension by the newer bounds may then end earlier, while the holder relies on its grant.
// Holds cmlock-4.
#[test]
fn an_extension_does_not_end_before_what_is_held() {
    let mut lock = PodLock::<Failed>::new("x", true);
    let us = us(&mut lock);
    let slow = at(30, 1030, 1061);
    let (Write::Create(created), _) = lock.claim(None, lease(1), slow) else {
        panic!("not created");
    };
    lock.observe(Some(&created), slow);
    let expires = |object: &ConfigMap| Record::read(object).unwrap().expires;
    let extended = |grant, now| {
        let Ok(Write::Update(extended)) = lock.extend(&created, grant, lease(2), now) else {
            panic!("not updated");
        };
        expires(&extended).map(Time::as_secs)
    };
    assert_eq!(expires(&created), Some(Time::from_secs(1067)));
    let quick = at(32, 1032, 1033);
    assert_eq!(extended(Some(&us), quick), Some(1067));
    assert_eq!(extended(Some(&us), at(70, 1070, 1071)), Some(1077));
    // Without a grant nobody relies on the old expiry.
    assert_eq!(extended(None, quick), Some(1039));
}

/// Somebody has removed the expiry of a held lock: its holder may rely on that for good.
#[test]
fn an_extension_gives_no_end_to_what_has_none() {
    let mut lock = PodLock::<Failed>::new("x", true);
    let us = us(&mut lock);
    let now = at(30, 1030, 1031);
    let (Write::Create(mut object), _) = lock.claim(None, lease(1), now) else {
        panic!("not created");
    };
    object.data = None;
    lock.observe(Some(&object), now);
    let Ok(Write::Update(extended)) = lock.extend(&object, Some(&us), lease(2), now) else {
        panic!("not updated");
    };
    assert_eq!(Record::read(&extended).unwrap().expires, None);
}

fn somebody() -> Holder {
    let owner = Owner {
        name: "b".to_owned(),
        uid: "b-1".to_owned(),
    };
    Holder::new("other", owner)
}

/// The lock as its holder sees it, and the object with a version.
fn held_by(holder: Holder, now: Moment) -> (PodLock<Failed>, ConfigMap) {
    let mut lock = PodLock::<Failed>::new("x", true);
    lock.learn(&Subject::Us, Fact::Us(Ok(holder), None));
    let (Write::Create(mut object), _) = lock.claim(None, lease(7), now) else {
        panic!("not created");
    };
    object.metadata.resource_version = Some("12".to_owned());
    lock.observe(Some(&object), now);
    (lock, object)
}

#[test]
fn a_holder_knows_its_lock_from_anothers() {
    let now = at(30, 1030, 1031);
    let (lock, object) = held_by(somebody(), now);
    assert_eq!(lock.version(&object), Version::new("12"));
    assert_eq!(lock.has_lease(&object), Some(true));
    assert_eq!(Protocol::nonce(&lock, &object), Some(Nonce(7)));
    assert_eq!(lock.grant(&object).unwrap(), somebody());
    assert!(lock.subject().is_none(), "its own Pod lives");
    assert!(matches!(
        lock.judge(Some(&object), now),
        Verdict::Ours(None)
    ));
    assert!(matches!(
        lock.release(&object, now),
        Ok(Some(Write::Delete(_)))
    ));
    assert_eq!(holder(&object).as_deref(), Some("other"));
    assert_eq!(owner(&object), Some(somebody().owner));

    let mut other = PodLock::<Failed>::new("x", true);
    assert_eq!(other.subject(), Some(Subject::Us));
    assert!(matches!(other.judge(None, now), Verdict::Unknown));
    us(&mut other);
    other.observe(Some(&object), now);
    assert_eq!(other.has_lease(&object), Some(false));
    assert_eq!(Protocol::nonce(&other, &object), None);
    assert_eq!(other.subject(), Some(Subject::Owner(somebody().owner)));
    assert!(matches!(other.judge(Some(&object), now), Verdict::Held(..)));
    assert!(matches!(other.release(&object, now), Err(Failure::Held(_))));
    other.observe(None, now);
    assert!(matches!(other.release(&object, now), Ok(None)));
}

/// Other contenders must be able to tell whether the lock has expired.
#[test]
fn a_lock_with_an_expiry_needs_the_servers_clock() {
    let unseen = Moment::new(at(30, 0, 0).boot);
    for (expires, now, is_free) in [
        (true, unseen, false),
        (true, at(30, 1030, 1031), true),
        (false, unseen, true),
        (false, at(30, 1030, 1031), true),
    ] {
        let mut lock = PodLock::<Failed>::new("x", expires);
        us(&mut lock);
        let verdict = lock.judge(None, now);
        assert_eq!(matches!(verdict, Verdict::Free), is_free, "{expires}");
    }
}

#[test]
fn what_is_told_of_a_former_owner_counts_for_no_other() {
    let now = at(30, 1030, 1031);
    let (_, object) = held_by(somebody(), now);
    let of_owner = Subject::Owner(somebody().owner);
    let mut lock = PodLock::<Failed>::new("x", true);
    us(&mut lock);
    lock.observe(Some(&object), now);
    assert!(!lock.is_watched(&of_owner) && !lock.is_watched(&Subject::Us));
    let another = Subject::Owner(Owner::default());
    lock.learn(&another, Fact::Owner(OwnerState::Gone));
    assert!(matches!(lock.judge(Some(&object), now), Verdict::Held(..)));
    lock.learn(&of_owner, Fact::Owner(OwnerState::Alive(Vec::new())));
    assert!(lock.is_watched(&of_owner) && !lock.is_watched(&Subject::Us));
    // The same object again says nothing new about its Pod.
    lock.observe(Some(&object), now);
    assert!(lock.is_watched(&of_owner));
    lock.learn(&of_owner, Fact::Owner(OwnerState::Gone));
    assert!(matches!(lock.judge(Some(&object), now), Verdict::Free));
    let mut next = object.clone();
    next.metadata.owner_references.as_mut().unwrap()[0].uid = "b-2".to_owned();
    lock.observe(Some(&next), now);
    assert!(matches!(lock.judge(Some(&next), now), Verdict::Held(..)));
    let why = lock.unwatched(&Failed(Effect::Final)).unwrap();
    assert!(matches!(why, Notice::NotWatchingPods(why) if why == "it failed"));
}

/// A holder relies on what it wrote, until somebody else changes the expiry.
#[test]
fn a_deadline_changes_with_the_expiry_that_is_there() {
    let now = at(30, 1030, 1031);
    let (mut lock, object) = held_by(somebody(), now);
    let sent = Some(now.boot);
    let until = |seconds| BootInstant::after_boot(Duration::from_secs(seconds));
    assert!(matches!(lock.deadline(&object, sent, now), Deadline::At(end) if end == until(36)));
    assert!(matches!(
        lock.deadline(&object, None, now),
        Deadline::Unchanged
    ));
    let mut earlier = object.clone();
    earlier.data = Some(record::data(Some(Time::from_secs(1035))));
    lock.observe(Some(&earlier), now);
    assert!(matches!(lock.deadline(&earlier, None, now), Deadline::At(end) if end == until(34)));
    assert!(matches!(
        lock.deadline(&earlier, None, now),
        Deadline::Unchanged
    ));
    assert!(matches!(lock.deadline(&earlier, sent, now), Deadline::At(end) if end == until(34)));
}

#[test]
fn a_holder_that_is_another_or_until_another_time_is_told_again() {
    let (lock, object) = held_by(somebody(), at(30, 1030, 1031));
    let record = Record::read(&object).unwrap();
    let mut later = record.clone();
    later.expires = None;
    let [held, later] = [record, later].map(|record| HeldBy::of(&record));
    assert!(lock.is_same(&held, &held) && !lock.is_same(&held, &later));
}

/// The waiter waits for a predecessor in its own container, and the restart count shows that the
/// predecessor has ended.
#[test]
fn who_waits_notes_the_run_that_it_is_by_then() {
    let now = at(30, 1030, 1031);
    let (_, held) = held_by(somebody(), now);
    let mut us = somebody();
    us.id = "me".to_owned();
    us.run = Some(record::ContainerRun {
        container: "main".to_owned(),
        restarts: 1,
    });
    let mut lock = PodLock::<Failed>::new("x", true);
    lock.learn(&Subject::Us, Fact::Us(Ok(us), None));
    lock.observe(Some(&held), now);
    let status = |name, count| serde_json::json!({"name": name, "restartCount": count, "image": "", "imageID": "", "ready": true});
    let pod = serde_json::json!({
        "metadata": {"name": "b", "uid": "b-1"},
        "status": {"phase": "Running", "containerStatuses": [status("side", 9), status("main", 3)]},
    });
    let owner = somebody().owner;
    let alive = OwnerState::of(&owner, Some(&serde_json::from_value(pod).unwrap()));
    lock.learn(&Subject::Owner(owner), Fact::Owner(alive));
    lock.observe(None, now);
    let wanted = NewLease {
        passed: Some(4),
        ..lease(1)
    };
    let (Write::Create(created), _) = lock.claim(None, wanted, now) else {
        panic!("not created");
    };
    let run = Record::read(&created).unwrap().run.unwrap();
    assert_eq!((&*run.container, run.restarts), ("main", 3));
    assert_eq!(lock.passed(&created), Some(4));
}
