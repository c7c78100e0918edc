//! Answers that arrive after a later event.

use super::*;

/// A claim in flight on a free lock of this version.
fn claiming(version: u64) -> (Engine<Mutex>, Object, Object) {
    let mut engine = contender(Wait::Forever);
    engine.handle(Input::Time, at(0));
    outputs(&mut engine);
    let free = edit::empty(&Object::new(&"x".parse().unwrap()));
    engine.handle(read(Some(versioned(free.clone(), version))), at(0));
    let asked = outputs(&mut engine);
    let claim = asked.iter().find_map(|output| match output {
        Output::Write(Write::Update(object)) => Some(object.clone()),
        _ => None,
    });
    let claim = claim.unwrap_or_else(|| panic!("{asked:?}"));
    (engine, free, claim)
}

/// Before the write is answered, the watch reports a state without the lease.
#[test]
fn a_lease_that_is_gone_when_its_write_is_answered_was_not_acquired() {
    let (mut engine, free, claim) = claiming(10);
    engine.handle(Input::Changed(versioned(free, 30)), at(1));
    outputs(&mut engine);
    engine.handle(written(claim, 20), at(1));
    let told = outputs(&mut engine);
    assert!(matches!(told[..], [Output::Read]), "{told:?}");
    // The same when the object was deleted.
    let (mut engine, _, claim) = claiming(10);
    engine.handle(Input::Deleted(Version::new("30")), at(1));
    outputs(&mut engine);
    engine.handle(written(claim, 20), at(1));
    let told = outputs(&mut engine);
    assert!(matches!(told[..], [Output::Read]), "{told:?}");
}

/// The cancellation arrives when the lock is already held.
#[test]
fn a_cancellation_that_comes_late_takes_back_what_was_not_there_before() {
    let (mut engine, _, claim) = claiming(10);
    engine.handle(written(claim.clone(), 20), at(1));
    outputs(&mut engine);
    engine.handle(Input::Cancel, at(1));
    let asked = outputs(&mut engine);
    let Some(Output::Write(Write::Update(released))) = asked.last() else {
        panic!("{asked:?}");
    };
    assert!(record_of(released).unwrap().leases.is_empty());
    // A lease of this ID that existed before stays, because somebody relies on it.
    let mut again = contender(Wait::Forever);
    again.handle(Input::Time, at(2));
    outputs(&mut again);
    again.handle(read(Some(versioned(claim, 20))), at(2));
    let asked = outputs(&mut again);
    let Some(Output::Write(Write::Update(extended))) = asked.last() else {
        panic!("{asked:?}");
    };
    again.handle(written(extended.clone(), 30), at(3));
    outputs(&mut again);
    again.handle(Input::Cancel, at(3));
    let asked = outputs(&mut again);
    let writes = |output: &Output<Mutex>| matches!(output, Output::Write(_));
    assert!(again.is_done() && !asked.iter().any(writes), "{asked:?}");
}

/// In a crowd somebody is faster each time. Up to ten times in a row, that is normal.
#[test]
fn in_a_crowd_ten_writes_in_a_row_may_meet_others() {
    let mut engine = contender(Wait::Forever);
    engine.handle(Input::Time, at(0));
    let mut now = at(0);
    for met in 1..=11 {
        assert!(matches!(outputs(&mut engine)[..], [Output::Read]), "{met}");
        engine.handle(read(None), now);
        let mut asked = outputs(&mut engine);
        while !matches!(asked.last(), Some(Output::Write(_))) {
            now = engine.wake_at().unwrap();
            engine.handle(Input::Time, now);
            asked = outputs(&mut engine);
            assert!(!matches!(asked.last(), Some(Output::Read)), "{met}");
        }
        let conflict = StoreError::new(StoreErrorKind::Conflict, Errno::EAGAIN, "409");
        engine.handle(Input::Written(Err(conflict), None), now);
    }
    assert!(matches!(outputs(&mut engine)[..], []));
    assert!(engine.wake_at().unwrap() > now);
}

/// Somebody else has claimed the free lock first, and released it. There may be a crowd.
#[test]
fn who_meets_another_at_a_free_lock_pauses_before_the_next_try() {
    let (mut engine, free, _) = claiming(10);
    let conflict = StoreError::new(StoreErrorKind::Conflict, Errno::EAGAIN, "409");
    engine.handle(Input::Written(Err(conflict), None), at(1));
    assert!(matches!(outputs(&mut engine)[..], [Output::Read]));
    engine.handle(read(Some(versioned(free, 12))), at(2));
    let asked = outputs(&mut engine);
    assert!(asked.is_empty(), "{asked:?}");
    assert!(engine.wake_at().unwrap() > at(2));
}

/// What a holder says of its wait counts for those who come then. Later holders pass the lock on to
/// each other, and say nothing about who waits.
#[test]
fn only_the_first_holder_tells_a_waiter_of_a_crowd() {
    let held = |passed, version| {
        let mut record = Record::mutex("x");
        let mut lease = Lease::new("other", Timestamp::NEVER, None);
        lease.passed = passed;
        record.leases.insert("other".to_owned(), lease);
        let mut object = versioned(Object::new(&"x".parse().unwrap()), version);
        object.set_record(&record);
        object
    };
    let tries_at_once = |first, second| {
        let mut waiter = contender(Wait::Forever);
        waiter.handle(Input::Time, at(0));
        outputs(&mut waiter);
        waiter.handle(read(Some(held(first, 10))), at(1));
        waiter.handle(Input::Changed(held(second, 11)), at(2));
        outputs(&mut waiter);
        let free = edit::empty(&held(None, 0));
        waiter.handle(Input::Changed(versioned(free, 12)), at(3));
        let asked = outputs(&mut waiter);
        asked
            .iter()
            .any(|output| matches!(output, Output::Write(_)))
    };
    assert!(!tries_at_once(Some(4), None));
    assert!(tries_at_once(None, Some(4)));
}
