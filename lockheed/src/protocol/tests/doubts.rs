//! Writes whose answers are late or lost.

use super::*;

fn unknown() -> StoreError {
    StoreError::new(StoreErrorKind::Unknown, Errno::ETIMEDOUT, "no answer")
}

/// A contender that creates the lock, and the object it writes.
fn creating() -> (Engine<Mutex>, Object) {
    let mut engine = contender(Wait::Forever);
    engine.handle(Input::Time, at(0));
    outputs(&mut engine);
    engine.handle(read(None), at(0));
    let object = writes(&mut engine);
    (engine, object)
}

/// The same contender after its answer was lost, while it reads what happened.
fn looking() -> (Engine<Mutex>, Object) {
    let (mut engine, object) = creating();
    engine.handle(Input::Written(Err(unknown()), None), at(1));
    outputs(&mut engine);
    let look = engine.wake_at().unwrap();
    engine.handle(Input::Time, look);
    assert!(matches!(outputs(&mut engine)[..], [Output::Read]));
    (engine, object)
}

/// More than half of the lease has passed before the contender knows that it was acquired.
#[test]
fn a_lease_whose_write_took_long_is_extended_first() {
    for (answered, is_fresh) in [(14, true), (15, false), (20, false)] {
        let (mut engine, object) = creating();
        engine.handle(written(object, 700), at(answered));
        let told = outputs(&mut engine);
        let acquired = |output: &Output<Mutex>| matches!(output, Output::Tell(Event::Acquired(..)));
        let extends = |output: &Output<Mutex>| matches!(output, Output::Write(Write::Update(_)));
        assert_eq!(told.iter().any(acquired), is_fresh, "{answered}: {told:?}");
        assert!(is_fresh || told.iter().any(extends), "{answered}: {told:?}");
    }
}

/// The contender recognises its write by the nonce, and counts from when it was sent.
#[test]
fn a_write_whose_answer_was_lost_is_found_by_a_look() {
    let (mut engine, object) = looking();
    engine.handle(read(Some(versioned(object, 700))), at(3));
    let told = outputs(&mut engine);
    assert!(
        matches!(
            told[..],
            [.., Output::Tell(Event::Acquired(_, Some(until))), Output::Watch(_)] if until == at(0) + LENGTH
        ),
        "{told:?}"
    );
}

/// The clock was read when the answer was sent, which may be long before it arrives.
#[test]
fn a_lease_does_not_look_over_before_it_is() {
    let mut engine = contender(Wait::Forever);
    engine.handle(Input::Time, at(0));
    outputs(&mut engine);
    engine.handle(read(None), at(4));
    let object = writes(&mut engine);
    let lease = record_of(&object).unwrap().leases["me"].clone();
    assert_eq!(lease.expires, Timestamp::from_unix(at(34).since_boot()));
    let expired = |seconds| lease.is_expired(Timestamp::from_unix(at(seconds).since_boot()));
    assert!(!expired(33) && expired(35));
}

/// A holder whose extension was sent at 11 s and not answered by 12 s, and the object with it.
fn in_doubt() -> (Engine<Mutex>, Object) {
    let (mut engine, _) = holder();
    engine.handle(Input::Time, at(11));
    let extended = writes(&mut engine);
    engine.handle(Input::Written(Err(unknown()), None), at(12));
    (engine, extended)
}

/// The extension is not sent again.
#[test]
fn an_extension_whose_answer_was_lost_counts_from_when_it_was_sent() {
    let (mut engine, extended) = in_doubt();
    outputs(&mut engine);
    let look = engine.wake_at().unwrap();
    engine.handle(Input::Time, look);
    assert!(matches!(outputs(&mut engine)[..], [Output::Read]));
    engine.handle(read(Some(versioned(extended, 701))), look);
    let told = outputs(&mut engine);
    let until = at(11) + LENGTH;
    assert!(
        matches!(told[..], [Output::Tell(Event::Renewed(Some(at)))] if at == until),
        "{told:?}"
    );
}

#[test]
fn who_releases_in_doubt_looks_first() {
    let (mut engine, _) = in_doubt();
    outputs(&mut engine);
    engine.handle(Input::Release, at(12));
    let asked = outputs(&mut engine);
    assert!(matches!(asked[..], [Output::Read]), "{asked:?}");
}

/// An object exists, and may be the one whose creation is in doubt.
#[test]
fn who_cannot_fence_a_creation_off_looks() {
    let (mut engine, _) = creating();
    engine.handle(Input::Cancel, at(0));
    let asked = outputs(&mut engine);
    assert!(
        matches!(
            asked[..],
            [Output::Abandon, Output::Write(Write::Create(_))]
        ),
        "{asked:?}"
    );
    let conflict = StoreError::new(StoreErrorKind::Conflict, Errno::EAGAIN, "409");
    engine.handle(Input::Written(Err(conflict), None), at(0));
    let asked = outputs(&mut engine);
    assert!(matches!(asked[..], [Output::Read]), "{asked:?}");
}

/// The claim was sent on top of an object, so only a look can tell whether it was done.
#[test]
fn who_gives_up_a_claim_in_flight_looks_first() {
    let mut engine = contender(Wait::Forever);
    engine.handle(Input::Time, at(0));
    outputs(&mut engine);
    let free = edit::empty(&Object::new(&"x".parse().unwrap()));
    engine.handle(read(Some(versioned(free, 10))), at(0));
    writes(&mut engine);
    engine.handle(Input::Cancel, at(0));
    let asked = outputs(&mut engine);
    assert!(
        matches!(asked[..], [Output::Abandon, Output::Read]),
        "{asked:?}"
    );
}

/// An earlier run with this ID has left the place. Nothing of this attempt stays behind, even if
/// its write is done late.
#[test]
fn who_gives_up_leaves_a_place_from_before_there() {
    let mut record = Record::mutex("x");
    let lease = Lease::new("other", Timestamp::NEVER, None);
    record.leases.insert("other".to_owned(), lease);
    let mut object = versioned(Object::new(&"x".parse().unwrap()), 10);
    object.set_record(&record);
    let mut queue = Queue::default();
    let place = Waiter::new("me", Mode::Exclusive, 0, Timestamp::NEVER);
    queue.put(place, "1".to_owned());
    queue.write(&mut object);
    let fair = Contender {
        fair: true,
        ..of_one("me")
    };
    let mut waiter = wanting(fair, Wait::Forever);
    waiter.handle(Input::Time, at(0));
    outputs(&mut waiter);
    waiter.handle(read(Some(object)), at(0));
    outputs(&mut waiter);
    let due = waiter.wake_at().unwrap();
    waiter.handle(Input::Time, due);
    writes(&mut waiter);
    waiter.handle(Input::Written(Err(unknown()), None), due);
    outputs(&mut waiter);
    waiter.handle(Input::Cancel, due);
    let told = outputs(&mut waiter);
    assert!(
        matches!(told[..], [Output::Tell(Event::Failed(Failure::Cancelled))]),
        "{told:?}"
    );
}
