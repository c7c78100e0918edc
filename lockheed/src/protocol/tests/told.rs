//! What is reported when a store fails, and when a lock is lost.

use super::*;

/// How often each of these is reported: the store is away, the store is back, nothing is watched.
fn told(engine: &mut Engine<Mutex>) -> [usize; 3] {
    let outputs = outputs(engine);
    let count = |is: fn(&Event<Mutex>) -> bool| {
        let told = |output: &&Output<Mutex>| matches!(output, Output::Tell(event) if is(event));
        outputs.iter().filter(told).count()
    };
    [
        count(|event| matches!(event, Event::Unreachable(_))),
        count(|event| matches!(event, Event::Reachable)),
        count(|event| matches!(event, Event::NotWatched(_))),
    ]
}

/// Wakes the engine at the time it asks for.
fn wake(engine: &mut Engine<Mutex>) -> BootInstant {
    let now = engine.wake_at().unwrap();
    engine.handle(Input::Time, now);
    now
}

#[test]
fn a_store_is_back_when_what_failed_works_again() {
    let mut engine = contender(Wait::Forever);
    engine.handle(Input::Time, at(0));
    outputs(&mut engine);
    engine.handle(Input::Read(Err(refused()), None), at(0));
    assert_eq!(told(&mut engine), [1, 0, 0]);
    let now = wake(&mut engine);
    engine.handle(Input::Read(Err(refused()), None), now);
    assert_eq!(told(&mut engine), [0, 0, 0]);
    let now = wake(&mut engine);
    engine.handle(read(None), now);
    assert_eq!(told(&mut engine), [0, 1, 0]);
    engine.handle(Input::Written(Err(refused()), None), now);
    assert_eq!(told(&mut engine), [1, 0, 0]);
    // Successful reads do not make writes work.
    let unknown = StoreError::new(StoreErrorKind::Unknown, Errno::ETIMEDOUT, "no answer");
    let now = wake(&mut engine);
    engine.handle(Input::Written(Err(unknown), None), now);
    assert_eq!(told(&mut engine), [0, 0, 0]);
    let now = wake(&mut engine);
    engine.handle(read(None), now);
    let asked = outputs(&mut engine);
    let [.., Output::Write(Write::Create(object))] = &asked[..] else {
        panic!("{asked:?}");
    };
    engine.handle(written(object.clone(), 700), now);
    assert_eq!(told(&mut engine), [0, 1, 0]);
}

#[test]
fn a_watch_that_fails_thrice_in_a_row_is_told_once() {
    let (mut engine, object) = holder();
    let ended = |engine: &mut Engine<Mutex>, error, seconds| {
        engine.handle(Input::WatchEnded(error), at(seconds));
        told(engine)[2]
    };
    let often = |engine: &mut Engine<Mutex>, seconds| {
        [(); 4].map(|()| ended(engine, Some(refused()), seconds))
    };
    assert_eq!(ended(&mut engine, None, 6), 0);
    assert_eq!(often(&mut engine, 6), [0, 0, 1, 0]);
    // A watch that has lasted shows that watching works.
    let mut kept = object;
    for (input, now) in [
        (Input::WatchEnded(Some(refused())), at(15)),
        (Input::Time, at(16)),
    ] {
        engine.handle(input, now);
        while let Some(output) = engine.poll() {
            match output {
                Output::Read => engine.handle(read(Some(kept.clone())), now),
                Output::Write(Write::Update(renewed)) => {
                    kept = versioned(renewed, 701);
                    engine.handle(written(kept.clone(), 701), now);
                }
                output => assert!(!matches!(output, Output::Tell(Event::NotWatched(_)))),
            }
        }
    }
    assert_eq!(often(&mut engine, 16), [0, 1, 0, 0]);
}

/// Somebody has replaced our lease by another.
#[test]
fn a_lease_that_is_not_there_any_more_is_lost() {
    let (mut engine, object) = holder();
    engine.handle(Input::Changed(versioned(object.clone(), 701)), at(6));
    assert!(outputs(&mut engine).is_empty());
    engine.handle(Input::Changed(versioned(edit::empty(&object), 702)), at(7));
    let told = outputs(&mut engine);
    assert!(
        matches!(told[..], [Output::Tell(Event::Lost(LeaseLost::Taken))]),
        "{told:?}"
    );
}

#[test]
fn who_renews_keeps_the_length_that_is_there_unless_another_is_wanted() {
    let mut record = Record::mutex("x");
    let lease = Lease::new(
        "me",
        Timestamp::from_unix(at(30).since_boot()),
        Some(LENGTH),
    );
    record.leases.insert("me".to_owned(), lease);
    let mut object = versioned(Object::new(&"x".parse().unwrap()), 700);
    object.set_record(&record);
    let longer = Some(LENGTH * 2);
    for (wanted, length) in [(None, Some(LENGTH)), (longer, longer)] {
        let settings = Settings {
            goal: Goal::Renew,
            length: wanted,
            renew_interval: None,
            wait: Wait::No,
        };
        let mutex = Mutex::new(of_one("me")).renewing();
        let mut engine = Engine::new(mutex, settings, Moment::new(at(0)), 1);
        engine.handle(Input::Time, at(0));
        outputs(&mut engine);
        engine.handle(read(Some(object.clone())), at(0));
        let renewed = writes(&mut engine);
        assert_eq!(record_of(&renewed).unwrap().leases["me"].duration(), length);
    }
}

/// Contenders that collided here must not collide again.
#[test]
fn a_place_in_a_crowd_is_written_after_a_pause() {
    let mut record = Record::mutex("x");
    let mut lease = Lease::new("other", Timestamp::NEVER, None);
    lease.passed = Some(4);
    record.leases.insert("other".to_owned(), lease);
    let mut object = versioned(Object::new(&"x".parse().unwrap()), 700);
    object.set_record(&record);
    let fair = Contender {
        fair: true,
        ..of_one("me")
    };
    let mut waiter = wanting(fair, Wait::Forever);
    waiter.handle(Input::Time, at(0));
    outputs(&mut waiter);
    waiter.handle(read(Some(object)), at(1));
    let is_write = |output: &Output<Mutex>| matches!(output, Output::Write(_));
    assert!(!outputs(&mut waiter).iter().any(is_write));
    let due = waiter.wake_at().unwrap();
    assert!(due > at(1) && due < at(6), "{due:?}");
    // Other events do not change the time.
    waiter.handle(Input::Time, at(1));
    assert!(outputs(&mut waiter).is_empty());
    assert_eq!(waiter.wake_at(), Some(due));
    waiter.handle(Input::Time, due);
    writes(&mut waiter);
    // The write may have been done, so it has to be taken back.
    let unknown = StoreError::new(StoreErrorKind::Unknown, Errno::ETIMEDOUT, "no answer");
    waiter.handle(Input::Written(Err(unknown), None), due);
    outputs(&mut waiter);
    waiter.handle(Input::Cancel, due);
    assert!(!waiter.is_done());
}

#[test]
fn who_was_named_with_another_leaves_it_its_time() {
    let two = Mode::Slots(2.try_into().unwrap());
    let mut record = Record::mutex("x");
    record.mode = two;
    for (number, id) in (0..).zip(["a", "me"]) {
        let expires = Timestamp::from_unix(at(5).since_boot());
        let mut lease = Lease::new(id, expires, Some(Duration::from_secs(5)));
        lease.granted = Some(number);
        lease.nonce = Some("1".to_owned());
        record.leases.insert(id.to_owned(), lease);
    }
    let mut object = versioned(Object::new(&"x".parse().unwrap()), 700);
    object.set_record(&record);
    let fair = Contender {
        fair: true,
        mode: two,
        ..of_one("me")
    };
    let mut engine = wanting(fair, Wait::Forever);
    engine.handle(Input::Time, at(0));
    outputs(&mut engine);
    engine.handle(read(Some(object)), at(0));
    assert!(matches!(outputs(&mut engine)[..], [Output::Watch(_)]));
    let turn = at(0) + Duration::from_millis(100);
    assert_eq!(engine.wake_at(), Some(turn));
    engine.handle(Input::Time, at(0) + Duration::from_millis(99));
    assert!(outputs(&mut engine).is_empty());
    engine.handle(Input::Time, turn);
    let acquired = record_of(&writes(&mut engine));
    assert!(acquired.is_some());
}
