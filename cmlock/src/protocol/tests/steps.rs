//! The engine's inputs and outputs, step by step; above all, how a waiter learns about the holder's
//! Pod.

use coord_lease::engine::{Engine, Event, Goal, Input, Output, Settings, Wait};

use super::*;

type Waiter = Engine<PodLock<Failed>>;

fn after(seconds: u64) -> BootInstant {
    at(30 + seconds, 0, 0).boot
}

/// A lock held by the Pod with this name, at this version.
fn held(owner: &str, version: u64) -> ConfigMap {
    let holder = Holder::new("other", pod(owner));
    let (_, mut object) = held_by(holder, at(30, 1030, 1031));
    object.metadata.resource_version = Some(version.to_string());
    object
}

fn pod(name: &str) -> Owner {
    Owner {
        name: name.to_owned(),
        uid: format!("{name}-1"),
    }
}

fn alive() -> Fact {
    Fact::Owner(OwnerState::Alive(Vec::new()))
}

fn gone() -> Fact {
    Fact::Owner(OwnerState::Gone)
}

/// The outputs, one word each. The lock itself is watched from the start.
fn outputs(engine: &mut Waiter) -> Vec<&'static str> {
    let word = |output| match output {
        Output::Read => "read",
        Output::Write(Write::Create(_)) => "create",
        Output::Write(Write::Update(_)) => "update",
        Output::Write(Write::Delete(_)) => "delete",
        Output::Watch(_) => "watch",
        Output::ReadSubject(Subject::Us) => "read us",
        Output::ReadSubject(Subject::Owner(_)) => "read owner",
        Output::WatchSubject(_) => "watch owner",
        Output::UnwatchSubject => "unwatch owner",
        Output::Abandon => "abandon",
        Output::Tell(Event::Waiting(_)) => "waiting",
        Output::Tell(Event::Notice(Notice::NotWatchingPods(_))) => "not watching",
        Output::Tell(Event::Notice(Notice::Freeing(_))) => "freeing",
        Output::Tell(_) => "told",
    };
    std::iter::from_fn(|| engine.poll()).map(word).collect()
}

/// The outputs for this input, this many seconds after the start.
fn does(engine: &mut Waiter, input: Input<PodLock<Failed>>, seconds: u64) -> Vec<&'static str> {
    engine.handle(input, after(seconds));
    outputs(engine)
}

fn owner_is(fact: Fact) -> Input<PodLock<Failed>> {
    Input::SubjectRead(Ok(fact), None)
}

/// A contender that begins.
fn contender(length: Option<Duration>) -> Waiter {
    let settings = Settings {
        goal: Goal::Acquire,
        length,
        renew_interval: None,
        wait: Wait::Forever,
    };
    let lock = PodLock::new("x", length.is_some());
    let mut engine = Engine::new(lock, settings, Moment::new(after(0)), 1);
    assert_eq!(does(&mut engine, Input::Time, 0), ["read us"]);
    engine
}

/// A contender that `b` has beaten, and that knows that this Pod lives.
fn waiter() -> Waiter {
    let mut engine = contender(None);
    let us = Fact::Us(Ok(Holder::new("me", pod("a"))), None);
    assert_eq!(does(&mut engine, owner_is(us), 0), ["create"]);
    let beaten = Input::Written(Err(Failed(Effect::Conflict)), None);
    assert_eq!(does(&mut engine, beaten, 0), ["read"]);
    let seen = Input::Read(Ok(Some(held("b", 1))), None);
    assert_eq!(does(&mut engine, seen, 0), ["read owner"]);
    let now = does(&mut engine, owner_is(alive()), 0);
    assert_eq!(now, ["watch owner", "watch", "waiting"]);
    engine
}

/// A second after a new holder came, the waiter reads that holder's Pod, and then watches it.
#[test]
fn the_owner_is_watched_and_each_later_one_a_second_after_it_came() {
    let mut engine = waiter();
    assert_eq!(engine.wake_at(), None);
    assert_eq!(
        does(&mut engine, Input::SubjectChanged(alive()), 4),
        [""; 0]
    );
    let next = Input::Changed(held("c", 2));
    assert_eq!(does(&mut engine, next, 5), ["unwatch owner", "waiting"]);
    assert_eq!(engine.wake_at(), Some(after(6)));
    // A late event of the former watch is about the former owner.
    assert_eq!(does(&mut engine, Input::SubjectChanged(gone()), 5), [""; 0]);
    assert_eq!(does(&mut engine, Input::Time, 6), ["read owner"]);
    assert_eq!(does(&mut engine, owner_is(alive()), 6), ["watch owner"]);
    assert_eq!(engine.wake_at(), None);
}

#[test]
fn the_owners_end_frees_the_lock_and_ends_its_watch() {
    let mut engine = waiter();
    let now = does(&mut engine, Input::SubjectChanged(gone()), 1);
    assert_eq!(now.first(), Some(&"unwatch owner"));
    let then = engine.wake_at().unwrap_or(after(1));
    let mut now = now;
    engine.handle(Input::Time, then);
    now.extend(outputs(&mut engine));
    assert_eq!(now, ["unwatch owner", "freeing", "delete"]);
}

/// If the user may not watch Pods, the owner is read every ten seconds.
#[test]
fn an_owner_that_may_not_be_watched_is_read_every_ten_seconds() {
    let mut engine = waiter();
    let denied = || Input::SubjectWatchEnded(Some(Failed(Effect::Final)));
    assert_eq!(does(&mut engine, denied(), 1), ["not watching"]);
    for now in [11, 21] {
        assert_eq!(engine.wake_at(), Some(after(now)));
        assert_eq!(does(&mut engine, Input::Time, now), ["read owner"]);
        assert_eq!(does(&mut engine, owner_is(alive()), now), [""; 0]);
    }
}

/// However a watch ends, the owner is read again within seconds, and then watched again.
#[test]
fn an_owner_whose_watch_ends_is_read_and_watched_again() {
    for error in [
        None,
        Some(Failed(Effect::None)),
        Some(Failed(Effect::Unknown)),
    ] {
        let mut engine = waiter();
        let ended = Input::SubjectWatchEnded(error);
        assert_eq!(does(&mut engine, ended, 30), [""; 0]);
        let again = engine.wake_at().unwrap();
        assert!(again >= after(30) && again <= after(35), "{again:?}");
        engine.handle(Input::Time, again);
        assert_eq!(outputs(&mut engine), ["read owner"]);
        assert_eq!(does(&mut engine, owner_is(alive()), 35), ["watch owner"]);
    }
}

/// A contender that acquires the lock this long after the start, and the lock's object.
fn holder(length: Option<Duration>, seconds: u64) -> (Waiter, ConfigMap) {
    let mut engine = contender(length);
    let us = Fact::Us(Ok(Holder::new("me", pod("a"))), None);
    let clock = Some(Duration::from_secs(1000));
    engine.handle(Input::SubjectRead(Ok(us), clock), after(seconds));
    let Some(Output::Write(Write::Create(mut created))) = engine.poll() else {
        panic!("not created");
    };
    created.metadata.resource_version = Some("1".to_owned());
    let written = Input::Written(Ok(Some(created.clone())), None);
    assert_eq!(does(&mut engine, written, seconds), ["told", "watch"]);
    (engine, created)
}

/// The server's clock shows whole seconds, and its answer took time.
#[test]
fn an_expiry_counts_from_the_latest_that_the_servers_clock_may_show() {
    let (_, created) = holder(Some(Duration::from_secs(6)), 2);
    let expires = Record::read(&created).unwrap().expires;
    assert_eq!(expires.map(Time::as_secs), Some(1000 + 1 + 2 + 6));
}

/// Somebody changed the expiry, and the next contender takes the lock at that time.
#[test]
fn a_holder_goes_by_the_expiry_that_is_there() {
    let (mut engine, created) = holder(Some(Duration::from_secs(60)), 0);
    let before = engine.wake_at().unwrap();
    let mut sooner = created;
    sooner.data = Some(record::data(Some(Time::from_secs(1030))));
    sooner.metadata.resource_version = Some("2".to_owned());
    assert_eq!(does(&mut engine, Input::Changed(sooner), 1), ["told"]);
    assert!(engine.wake_at().unwrap() < before);
}

#[test]
fn a_holder_whose_lock_has_no_end_and_is_watched_sleeps() {
    assert_eq!(holder(None, 0).0.wake_at(), None);
}

/// A contender whose first creation was not answered, while it reads what happened.
fn looking() -> Waiter {
    let mut engine = contender(None);
    let us = Fact::Us(Ok(Holder::new("me", pod("a"))), None);
    assert_eq!(does(&mut engine, owner_is(us), 0), ["create"]);
    let lost = Input::Written(Err(Failed(Effect::Unknown)), None);
    assert_eq!(does(&mut engine, lost, 1), ["told"]);
    engine.handle(Input::Time, engine.wake_at().unwrap());
    assert_eq!(outputs(&mut engine), ["read"]);
    engine
}

/// The creation that was not answered cannot be done once there is another object.
#[test]
fn a_holder_forgets_what_was_in_doubt_before_and_leaves_with_one_write() {
    let mut engine = looking();
    engine.handle(Input::Read(Ok(None), None), after(5));
    let mut created = None;
    for output in std::iter::from_fn(|| engine.poll()) {
        if let Output::Write(Write::Create(object)) = output {
            created = Some(object);
        }
    }
    let mut created = created.unwrap();
    created.metadata.resource_version = Some("1".to_owned());
    let written = Input::Written(Ok(Some(created)), None);
    assert_eq!(
        does(&mut engine, written, 6),
        ["told", "told", "watch"],
        "the server is back, and the lock is held"
    );
    assert_eq!(does(&mut engine, Input::Release, 7), ["delete"]);
    let deleted = Input::Written(Ok(None), None);
    assert_eq!(does(&mut engine, deleted, 8), ["told"]);
    assert!(engine.is_done());
}

/// A Pod's lock has no room for others: whoever finds its owner gone frees it at once.
#[test]
fn a_newcomer_frees_the_lock_of_a_pod_that_is_gone_at_once() {
    let mut engine = looking();
    let seen = Input::Read(Ok(Some(held("b", 1))), None);
    assert_eq!(does(&mut engine, seen, 5), ["read owner"]);
    let now = does(&mut engine, owner_is(gone()), 5);
    assert_eq!(now, ["freeing", "delete"]);
}
