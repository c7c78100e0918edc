//! How a failed attempt ends, and what reason it gives.

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

fn denied() -> StoreError {
    StoreError::new(StoreErrorKind::Denied, Errno::EACCES, "denied")
}

/// A lock that this holder has without an end.
fn held_by(holder: &str, version: u64) -> Object {
    let mut record = Record::mutex("x");
    let lease = Lease::new(holder, Timestamp::NEVER, None);
    record.leases.insert(holder.to_owned(), lease);
    let mut object = Object::new(&"x".parse().unwrap());
    object.set_record(&record);
    versioned(object, version)
}

fn asks(wait: Wait) -> Engine<Mutex> {
    let mut engine = contender(wait);
    engine.handle(Input::Time, at(0));
    assert!(matches!(outputs(&mut engine)[..], [Output::Read]));
    engine
}

/// The reason that the engine gives for its end, if it has ended.
fn end(engine: &mut Engine<Mutex>) -> Option<Failure<Mutex>> {
    outputs(engine).into_iter().find_map(|output| match output {
        Output::Tell(Event::Failed(why)) => Some(why),
        _ => None,
    })
}

/// The reason that the engine gives when its wait is over.
#[track_caller]
fn too_late(mut engine: Engine<Mutex>) -> String {
    engine.handle(Input::Time, at(5));
    match end(&mut engine) {
        Some(Failure::TimedOut(LIMIT, why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wait_that_is_over_says_what_was_in_the_way() {
    let silent = asks(Wait::For(LIMIT));
    assert_eq!(too_late(silent), "the store has not answered yet");

    let mut failing = asks(Wait::For(LIMIT));
    failing.handle(Input::Read(Err(refused()), None), at(1));
    assert_eq!(too_late(failing), "refused");

    let mut waiting = asks(Wait::For(LIMIT));
    waiting.handle(read(Some(held_by("other", 7))), at(1));
    let obstacle = "it is held by \"other\" indefinitely";
    // A later failure is not what kept the contender from the lock.
    waiting.handle(Input::WatchEnded(None), at(2));
    waiting.handle(Input::Time, at(3));
    waiting.handle(Input::Read(Err(refused()), None), at(4));
    assert_eq!(too_late(waiting), obstacle);

    let free = edit::empty(&Object::new(&"x".parse().unwrap()));
    let claiming = || {
        let mut engine = asks(Wait::For(LIMIT));
        engine.handle(read(Some(versioned(free.clone(), 7))), at(1));
        writes(&mut engine);
        engine
    };
    let mut failing = claiming();
    failing.handle(Input::Written(Err(refused()), None), at(4));
    assert_eq!(too_late(failing), "refused");
    let mut beaten = claiming();
    let conflict = StoreError::new(StoreErrorKind::Conflict, Errno::EAGAIN, "409");
    beaten.handle(Input::Written(Err(conflict), None), at(4));
    assert_eq!(too_late(beaten), "others were faster");
}

#[test]
fn a_store_that_never_answers_is_given_up_and_one_that_did_is_waited_for() {
    let mut never = asks(Wait::Forever);
    never.handle(Input::Read(Err(refused()), None), at(1));
    never.handle(Input::Time, at(29));
    outputs(&mut never);
    assert!(!never.is_done() && never.wake_at().unwrap() <= at(30));
    never.handle(Input::Time, at(30));
    let why = end(&mut never);
    assert!(matches!(why, Some(Failure::Unanswered(_))), "{why:?}");

    let mut later = contender(Wait::Forever).patient();
    later.handle(Input::Time, at(0));
    later.handle(Input::Read(Err(refused()), None), at(1));
    later.handle(Input::Time, at(100));
    assert!(!later.is_done());

    // A contender that does not wait also gives up on a store that stops answering.
    let mut now = at(0);
    let mut hasty = contender(Wait::No).patient();
    hasty.handle(Input::Time, now);
    while !hasty.is_done() && now < at(60) {
        if outputs(&mut hasty)
            .iter()
            .any(|output| matches!(output, Output::Read))
        {
            hasty.handle(Input::Read(Err(refused()), None), now);
        } else {
            now = hasty.wake_at().unwrap();
            hasty.handle(Input::Time, now);
        }
    }
    assert_eq!(now, at(30));
}

#[test]
fn who_does_not_wait_tries_a_write_three_times() {
    let (mut engine, mut now) = (asks(Wait::No), at(0));
    engine.handle(read(None), now);
    let mut tried = 0;
    while !engine.is_done() && now < at(60) {
        for output in outputs(&mut engine) {
            if matches!(output, Output::Write(_)) {
                tried += 1;
                engine.handle(Input::Written(Err(refused()), None), now);
            }
        }
        now = engine.wake_at().unwrap_or(now);
        engine.handle(Input::Time, now);
    }
    assert_eq!(tried, 3);
}

#[test]
fn what_is_denied_is_not_tried_again() {
    let is_denied = |engine: &mut Engine<Mutex>| {
        let why = end(engine);
        assert!(
            matches!(&why, Some(Failure::Request(error)) if error.to_string() == "denied"),
            "{why:?}"
        );
        assert!(engine.is_done());
    };
    let mut engine = asks(Wait::Forever);
    engine.handle(Input::Read(Err(denied()), None), at(1));
    is_denied(&mut engine);
    let mut engine = asks(Wait::Forever);
    engine.handle(read(Some(held_by("other", 7))), at(1));
    outputs(&mut engine);
    engine.handle(Input::WatchEnded(Some(denied())), at(2));
    is_denied(&mut engine);

    let releasing = |error| {
        let (mut engine, _) = holder();
        engine.handle(Input::Release, at(6));
        writes(&mut engine);
        engine.handle(Input::Written(Err(error), None), at(7));
        let told = outputs(&mut engine);
        let is_told = |told: &Output<Mutex>| matches!(told, Output::Tell(Event::NotReleased(_)));
        (engine.is_done(), told.iter().any(is_told))
    };
    assert_eq!(releasing(denied()), (true, true));
    assert_eq!(releasing(refused()), (false, false));
}

/// A holder manages without a watch and reads the lock from time to time.
#[test]
fn a_watch_that_is_denied_is_told_once_and_costs_no_lock() {
    let (mut engine, object) = holder();
    engine.handle(Input::WatchEnded(Some(denied())), at(6));
    let told = outputs(&mut engine);
    assert!(
        matches!(told[..], [Output::Tell(Event::NotWatched(_)), Output::Read]),
        "{told:?}"
    );
    engine.handle(read(Some(object)), at(6));
    assert!(outputs(&mut engine).is_empty());
    engine.handle(Input::Time, at(10));
    assert!(outputs(&mut engine).is_empty());
    engine.handle(Input::Time, at(11));
    let renewed = writes(&mut engine);
    engine.handle(written(renewed, 701), at(11));
    outputs(&mut engine);
    assert_eq!(engine.wake_at(), Some(at(16)));
    engine.handle(Input::Time, at(16));
    assert!(matches!(outputs(&mut engine)[..], [Output::Read]));
}

#[test]
fn what_comes_after_the_end_changes_nothing() {
    let (mut engine, object) = holder();
    engine.handle(Input::Release, at(6));
    writes(&mut engine);
    engine.handle(Input::Release, at(6));
    engine.handle(Input::WatchEnded(Some(denied())), at(6));
    assert!(outputs(&mut engine).is_empty());
    engine.handle(written(object, 701), at(7));
    outputs(&mut engine);
    engine.handle(Input::Release, at(8));
    assert!(outputs(&mut engine).is_empty() && engine.is_done());
}

#[test]
fn who_is_in_the_way_is_told_when_that_changes() {
    let mut engine = asks(Wait::Forever);
    engine.handle(read(Some(held_by("one", 7))), at(1));
    let told = |engine: &mut Engine<Mutex>| {
        let waiting = |output: &Output<Mutex>| matches!(output, Output::Tell(Event::Waiting(_)));
        outputs(engine)
            .iter()
            .filter(|output| waiting(output))
            .count()
    };
    assert_eq!(told(&mut engine), 1);
    engine.handle(Input::Changed(held_by("one", 8)), at(2));
    assert_eq!(told(&mut engine), 0);
    engine.handle(Input::Changed(held_by("two", 9)), at(3));
    assert_eq!(told(&mut engine), 1);
}

#[test]
fn a_store_says_how_long_it_wants_to_be_left_alone() {
    assert_eq!(RequestError::retry_after(&refused()), None);
    let wait = Duration::from_secs(3);
    let busy = refused().retry_after(wait);
    assert_eq!(RequestError::retry_after(&busy), Some(wait));
}

#[test]
fn who_wants_the_lock_no_more_has_not_acquired_it() {
    let mut waiting = asks(Wait::Forever);
    waiting.handle(read(Some(held_by("other", 7))), at(1));
    outputs(&mut waiting);
    waiting.handle(Input::Abandoned, at(2));
    assert!(matches!(end(&mut waiting), Some(Failure::Cancelled)));
}

#[test]
fn who_renews_waits_for_nobody() {
    let others = Some(held_by("other", 7));
    for (found, why) in [(None, LeaseLost::Deleted), (others, LeaseLost::Expired)] {
        let settings = Settings {
            goal: Goal::Renew,
            length: Some(LENGTH),
            renew_interval: None,
            wait: Wait::Forever,
        };
        let lock = Mutex::new(of_one("me"));
        let mut engine = Engine::new(lock, settings, Moment::new(at(0)), 1);
        engine.handle(Input::Time, at(0));
        outputs(&mut engine);
        engine.handle(read(found), at(1));
        let end = end(&mut engine);
        assert!(
            matches!(&end, Some(Failure::Lost(lost)) if *lost == why),
            "{end:?}"
        );
    }
}
