//! What goes into the engine and what comes out, step by step, for a mutex. The simulation plays
//! whole histories.

mod conflicts;
mod doubts;
mod ends;
mod overtaken;
mod restored;
mod several;
mod told;
mod turns;

use coord_core::Errno;
use coord_lease::{
    LeaseLost,
    engine::{Engine, Event, Goal, Input, Output, Settings, Wait},
};

use super::*;
use crate::{fair::Queue, store::RECORD};

const LENGTH: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> BootInstant {
    BootInstant::after_boot(Duration::from_secs(1000 + seconds))
}

fn contender(wait: Wait) -> Engine<Mutex> {
    wanting(of_one("me"), wait)
}

fn of_one(id: &str) -> Contender {
    Contender {
        name: "x".parse().unwrap(),
        id: id.to_owned(),
        tags: Vec::new(),
        reset_tags: false,
        force: None,
        mode: Mode::Exclusive,
        fair: false,
        priority: 0,
        skew: Skew {
            without_length: Duration::ZERO,
            at_first_sight: None,
        },
        alive: None,
    }
}

fn wanting(contender: Contender, wait: Wait) -> Engine<Mutex> {
    let settings = Settings {
        goal: Goal::Acquire,
        length: Some(LENGTH),
        renew_interval: Some(LENGTH / 3),
        wait,
    };
    Engine::new(Mutex::new(contender), settings, Moment::new(at(0)), 1)
}

fn outputs(engine: &mut Engine<Mutex>) -> Vec<Output<Mutex>> {
    std::iter::from_fn(|| engine.poll()).collect()
}

fn read(object: Option<Object>) -> Input<Mutex> {
    Input::Read(Ok(object), Some(at(0).since_boot()))
}

fn written(object: Object, version: u64) -> Input<Mutex> {
    Input::Written(Ok(Some(versioned(object, version))), None)
}

fn versioned(object: Object, version: u64) -> Object {
    let version = Version::new(version.to_string());
    Object { version, ..object }
}

/// Returns the engine's only output, which must be a write.
#[track_caller]
fn writes(engine: &mut Engine<Mutex>) -> Object {
    let outputs = outputs(engine);
    match &outputs[..] {
        [Output::Write(Write::Create(object) | Write::Update(object))] => object.clone(),
        _ => panic!("{outputs:?}"),
    }
}

/// A contender that has acquired a lock that did not exist, with one read and one write.
fn holder() -> (Engine<Mutex>, Object) {
    let mut engine = contender(Wait::Forever);
    engine.handle(Input::Time, at(0));
    assert!(matches!(outputs(&mut engine)[..], [Output::Read]));
    engine.handle(read(None), at(1));
    let object = writes(&mut engine);
    engine.handle(written(object.clone(), 700), at(5));
    let told = outputs(&mut engine);
    assert!(
        matches!(
            told[..],
            [Output::Tell(Event::Acquired(..)), Output::Watch(_)]
        ),
        "{told:?}"
    );
    (engine, versioned(object, 700))
}

fn refused() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, Errno::ECONNREFUSED, "refused")
}

#[test]
fn the_belief_ends_a_lease_after_the_write_was_sent_whatever_else_comes() {
    let (mut engine, _) = holder();
    engine.handle(Input::Time, at(11));
    writes(&mut engine);
    engine.handle(Input::Renew, at(31));
    let told = outputs(&mut engine);
    assert!(
        matches!(told[..], [Output::Tell(Event::Lost(LeaseLost::Expired))]),
        "{told:?}"
    );
}

#[test]
fn a_watch_that_fails_at_once_is_not_begun_again_at_once() {
    let (mut engine, _) = holder();
    for _ in 0..5 {
        engine.handle(Input::WatchEnded(Some(refused())), at(6));
        let told = outputs(&mut engine);
        assert!(
            matches!(told[..], [] | [Output::Tell(Event::NotWatched(_))]),
            "{told:?}"
        );
        assert!(engine.wake_at().unwrap() > at(6));
    }
}

#[test]
fn a_store_that_does_not_answer_is_told_of_with_the_cause() {
    let (mut engine, _) = holder();
    engine.handle(Input::WatchEnded(None), at(6));
    engine.handle(Input::Time, at(7));
    let error = refused().caused_by("nobody listens");
    engine.handle(Input::Read(Err(error), None), at(7));
    let told = outputs(&mut engine);
    let why = |event: &Output<Mutex>| match event {
        Output::Tell(Event::NotRenewed(why)) => Some(why.to_string()),
        _ => None,
    };
    let told: Vec<_> = told.iter().filter_map(why).collect();
    assert_eq!(told, ["refused: nobody listens"]);
}

#[test]
fn releasing_takes_one_write_and_no_watch_disturbs_it() {
    let (mut engine, object) = holder();
    engine.handle(Input::Release, at(6));
    writes(&mut engine);
    engine.handle(Input::WatchEnded(Some(refused())), at(6));
    assert!(outputs(&mut engine).is_empty());
    engine.handle(written(object, 701), at(7));
    assert!(matches!(
        outputs(&mut engine)[..],
        [Output::Tell(Event::Released)]
    ));
    assert!(engine.is_done());
}

/// Successful reads say nothing about writes, so they do not make the pauses short again.
// Holds lockheed-8.
#[test]
fn writes_that_fail_while_reads_work_are_tried_less_and_less_often() {
    let mut engine = contender(Wait::Forever);
    engine.handle(Input::Time, at(0));
    let (mut now, mut tried, mut told) = (at(0), 0, 0);
    while now < at(60) {
        for output in outputs(&mut engine) {
            match output {
                Output::Read => engine.handle(read(None), now),
                Output::Write(_) => {
                    tried += 1;
                    engine.handle(Input::Written(Err(refused()), None), now);
                }
                Output::Tell(_) => told += 1,
                _ => {}
            }
        }
        now = engine
            .wake_at()
            .unwrap_or(now)
            .max(now + Duration::from_millis(1));
        engine.handle(Input::Time, now);
    }
    assert!((10..40).contains(&tried), "{tried} writes in a minute");
    assert_eq!(told, 1, "one state, one line");
}

#[test]
fn who_does_not_wait_does_not_wait_for_writes_that_fail_either() {
    let mut engine = contender(Wait::No);
    engine.handle(Input::Time, at(0));
    let mut now = at(0);
    while !engine.is_done() {
        for output in outputs(&mut engine) {
            match output {
                Output::Read => engine.handle(read(None), now),
                Output::Write(_) => engine.handle(Input::Written(Err(refused()), None), now),
                _ => {}
            }
        }
        now = engine.wake_at().unwrap_or(now).max(now);
        engine.handle(Input::Time, now);
    }
    assert!(now < at(2), "{now:?}");
}

/// Waiters may still be there. With each newcomer that saw none, they count for less.
#[test]
fn who_comes_new_makes_room_where_somebody_has_waited() {
    let mut object = Object::new(&"x".parse().unwrap());
    let record = Record::mutex("x");
    let mut room = Vec::new();
    for passed in [None, Some(3), None, None, None, None] {
        let mut lease = Lease::new("me", Timestamp::NEVER, Some(LENGTH));
        lease.passed = passed;
        let mut held = record_of(&object).unwrap_or(record.clone());
        held.leases.insert("me".to_owned(), lease.clone());
        object = edit::acquired(&object, held, "me", &[], false);
        let mut left = record_of(&object).unwrap();
        left.leases.clear();
        object = edit::released(&object, left, Some(&lease));
        room.push(record_of(&object).unwrap().room);
    }
    assert_eq!(room, [None, Some(8), Some(4), Some(2), Some(1), None]);

    let claims_at_once = |wait, room| {
        let mut record = Record::mutex("x");
        record.room = room;
        let mut object = versioned(object.clone(), 900);
        object.data.insert(RECORD.to_owned(), record.to_json());
        let mut newcomer = contender(wait);
        newcomer.handle(Input::Time, at(0));
        outputs(&mut newcomer);
        newcomer.handle(read(Some(object)), at(1));
        outputs(&mut newcomer)
            .iter()
            .any(|output| matches!(output, Output::Write(_)))
    };
    assert!(claims_at_once(Wait::Forever, None));
    assert!(!claims_at_once(Wait::Forever, Some(8)));
    // A contender that does not wait cannot make room.
    assert!(claims_at_once(Wait::No, Some(8)));
}

/// The store took a second to answer, so the pause would be two seconds.
#[test]
fn a_short_wait_is_not_spent_on_making_room() {
    let limit = Duration::from_millis(1500);
    let mut newcomer = contender(Wait::For(limit));
    newcomer.handle(Input::Time, at(0));
    outputs(&mut newcomer);
    let mut record = Record::mutex("x");
    record.room = Some(8);
    let mut object = versioned(Object::new(&"x".parse().unwrap()), 900);
    object.data.insert(RECORD.to_owned(), record.to_json());
    newcomer.handle(read(Some(object)), at(1));
    assert!(matches!(outputs(&mut newcomer)[..], [Output::Watch(_)]));
    let tries = newcomer.wake_at().unwrap();
    assert!(tries < at(0) + limit, "{tries:?}");
    newcomer.handle(Input::Time, tries);
    writes(&mut newcomer);
}

fn record_of(object: &Object) -> Option<Record> {
    Record::from_json(object.data.get(RECORD)?).ok()
}

/// The answer to the first write never comes, and a contender that is told to stop does not wait
/// for it. cmlock's engine gives up in the same way.
// Holds lockheed-4, cmlock-1.
#[test]
fn who_gives_up_fences_a_write_in_doubt_within_a_second() {
    let mut engine = contender(Wait::Forever);
    engine.handle(Input::Time, at(0));
    outputs(&mut engine);
    engine.handle(read(None), at(0));
    writes(&mut engine);
    engine.handle(Input::Cancel, at(4));
    let told = outputs(&mut engine);
    let [Output::Abandon, Output::Write(Write::Create(fence))] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(
        Record::from_json(&fence.data[RECORD])
            .unwrap()
            .leases
            .is_empty()
    );
    engine.handle(written(fence.clone(), 7), at(4));
    let told = outputs(&mut engine);
    assert!(
        matches!(told[..], [Output::Tell(Event::Failed(Failure::Cancelled))]),
        "{told:?}"
    );
    let mut silent = contender(Wait::Forever);
    silent.handle(Input::Time, at(0));
    silent.handle(read(None), at(0));
    silent.handle(Input::Cancel, at(4));
    let end = silent.wake_at().unwrap();
    assert!(end < at(5), "{end:?}");
    silent.handle(Input::Time, end);
    assert!(silent.is_done());
}

/// A Go program announces its write. Its version is newer than our answer's, but nothing was
/// undone.
#[test]
fn an_answer_that_the_watch_has_overtaken_changes_nothing() {
    let (mut engine, _) = holder();
    engine.handle(Input::Time, at(11));
    let renewed = writes(&mut engine);
    engine.handle(Input::Changed(versioned(renewed.clone(), 702)), at(12));
    engine.handle(written(renewed.clone(), 701), at(12));
    let told = outputs(&mut engine);
    assert!(
        matches!(told[..], [Output::Tell(Event::Renewed(_))]),
        "{told:?}"
    );
    engine.handle(Input::Time, at(22));
    assert_eq!(writes(&mut engine).version, Version::new("702"));
}

/// It crashed earlier as a member, and others still hold the lock.
#[test]
fn who_has_a_lease_that_is_over_gets_a_place_all_the_same() {
    let fair = Contender {
        fair: true,
        ..of_one("me")
    };
    let mut record = Record::mutex("x");
    record.mode = Mode::Shared;
    let over = Timestamp::from_unix(Duration::from_secs(1));
    for (id, expires) in [("me", over), ("other", Timestamp::NEVER)] {
        let mut lease = Lease::new(id, expires, Some(LENGTH));
        lease.nonce = Some("1".to_owned());
        record.leases.insert(id.to_owned(), lease);
    }
    let mut object = versioned(Object::new(&"x".parse().unwrap()), 900);
    object.set_record(&record);
    let mut waiter = wanting(fair, Wait::Forever);
    waiter.handle(Input::Time, at(0));
    outputs(&mut waiter);
    waiter.handle(read(Some(object)), at(0));
    let told = outputs(&mut waiter);
    let Some(Output::Write(Write::Update(placed))) = told.last() else {
        panic!("{told:?}");
    };
    waiter.handle(written(placed.clone(), 901), at(1));
    outputs(&mut waiter);
    waiter.handle(Input::Cancel, at(2));
    assert!(Queue::read(&writes(&mut waiter)).waiters().is_empty());
}
