//! Writes whose answers are late or lost.

use super::*;

fn unknown() -> StoreError {
    StoreError::new(StoreErrorKind::Unknown, Errno::ETIMEDOUT, "no answer")
}

/// One that wants a lock that is not there, and what it writes.
fn creating() -> (Engine<Mutex>, Object) {
    let mut engine = contender(Wait::Forever);
    engine.handle(Input::Time, at(0));
    outputs(&mut engine);
    engine.handle(read(None), at(0));
    let object = writes(&mut engine);
    (engine, object)
}

/// The same, when its answer was lost, and it looks what became of it.
fn looking() -> (Engine<Mutex>, Object) {
    let (mut engine, object) = creating();
    engine.handle(Input::Written(Err(unknown()), None), at(1));
    outputs(&mut engine);
    let look = engine.wake_at().unwrap();
    engine.handle(Input::Time, look);
    assert!(matches!(outputs(&mut engine)[..], [Output::Read]));
    (engine, object)
}

/// More than half of the lease is gone when it is known that it was acquired.
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

/// It is known by its nonce, and counts from when it was sent.
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

/// The clock was shown when the answer was sent, which may be long ago when it comes.
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
