//! What a lock means for one of the waiters in its queue.

use super::{
    several::{claimed, held, in_turn, judged, now, object, seen, slots, time},
    *,
};

fn named(mut record: Record, ids: &[&str]) -> Record {
    for (number, id) in (0..).zip(ids) {
        record.leases.get_mut(*id).unwrap().granted = Some(number);
    }
    record
}

#[test]
fn a_place_counts_as_long_as_it_was_written_for() {
    let free = held(Mode::Exclusive, &[]);
    let waiting = object(&free, &[("a", Mode::Exclusive), ("b", Mode::Exclusive)]);
    let in_the_way = |contender, seconds| match seen(contender, &waiting, 0).verdict(now(seconds)) {
        Verdict::Held(by, until) => Some((by, until)),
        Verdict::Free => None,
        other => panic!("{other:?}"),
    };
    let waiter = |by: &str| HeldBy::Waiter { by: by.to_owned() };
    for (seconds, first) in [
        (59, Some("a")),
        (60, Some("b")),
        (119, Some("b")),
        (120, None),
    ] {
        let found = in_the_way(in_turn(Mode::Exclusive), seconds);
        assert_eq!(found, first.map(|id| (waiter(id), None)), "{seconds}");
    }
    assert_eq!(
        in_the_way(of_one("me"), 1),
        None,
        "it does not wait in turn"
    );
    // Waiters with a place know when nobody is ahead of them.
    let placed = |id: &str| Contender {
        id: id.to_owned(),
        ..in_turn(Mode::Exclusive)
    };
    let turn = |id, seconds| match seen(placed(id), &waiting, 0).verdict(now(seconds)) {
        Verdict::Turn { since, before } => (since, before),
        other => panic!("{other:?}"),
    };
    assert_eq!(turn("a", 1), (at(0), 0));
    assert_eq!(turn("b", 1), (at(0), 1));
    assert_eq!(turn("b", 60), (at(0), 0));
    // A holder that leaves room for the second waiter, but not for the first.
    let shared = held(Mode::Shared, &[("r", 300, 300)]);
    let waiting = object(&shared, &[("a", Mode::Exclusive), ("b", Mode::Shared)]);
    let reader = Contender {
        mode: Mode::Shared,
        ..placed("b")
    };
    let verdict = seen(reader, &waiting, 0).verdict(now(1));
    assert!(
        matches!(&verdict, Verdict::Held(HeldBy::Waiter { by }, Some(until)) if by == "a" && *until == at(60)),
        "{verdict:?}"
    );
}

/// Each named waiter gives those named before it the time to come.
#[test]
fn who_was_named_comes_in_turn() {
    let record = held(
        slots(4),
        &[("a", 30, 30), ("b", 30, 30), ("c", 30, 30), ("me", 30, 30)],
    );
    let verdict = |record: &Record| judged(in_turn(slots(4)), record, 3);
    let turn = verdict(&named(record.clone(), &["a", "b", "me", "c"]));
    assert!(
        matches!(turn, Verdict::Turn { since, before: 2 } if since == at(0)),
        "{turn:?}"
    );
    let turn = verdict(&named(record, &["me", "a", "b", "c"]));
    assert!(matches!(turn, Verdict::Turn { before: 0, .. }), "{turn:?}");
    let others = named(held(Mode::Exclusive, &[("a", 30, 30)]), &["a"]);
    let verdict = judged(of_one("me"), &others, 3);
    assert!(
        matches!(verdict, Verdict::Held(HeldBy::Waiter { .. }, _)),
        "{verdict:?}"
    );
}

/// A turn counts from when there is room: since a lease expired or disappeared.
#[test]
fn there_is_room_since_the_last_change_that_made_some() {
    let two = held(slots(2), &[("a", 20, 20), ("b", 300, 300)]);
    let waiting = object(&two, &[("me", slots(2))]);
    let since = |mutex: &Mutex, seconds| match mutex.verdict(now(seconds)) {
        Verdict::Turn { since, .. } => since,
        other => panic!("{other:?}"),
    };
    let mut mutex = seen(in_turn(slots(2)), &waiting, 0);
    assert!(matches!(mutex.verdict(now(19)), Verdict::Held(..)));
    assert_eq!(since(&mutex, 25), at(20));
    // A renewed or new lease makes no room.
    let mut later = two.clone();
    later.leases.get_mut("b").unwrap().expires = time(310);
    mutex.observe(Some(&object(&later, &[("me", slots(2))])), now(26));
    assert_eq!(since(&mutex, 27), at(20));
    let left = held(slots(2), &[("b", 310, 300)]);
    mutex.observe(Some(&object(&left, &[("me", slots(2))])), now(28));
    assert_eq!(since(&mutex, 29), at(28));
}

#[test]
fn who_acquires_leaves_the_queue_to_those_who_come_after() {
    let free = held(Mode::Exclusive, &[]);
    let all = ["a", "me", "b"].map(|id| (id, Mode::Exclusive));
    let waiting = object(&free, &all);
    let left = |contender| {
        let (_, queue) = claimed(contender, &waiting);
        let ids = queue.waiters().iter().map(|waiter| waiter.id.clone());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        left(in_turn(Mode::Exclusive)),
        "b",
        "\"a\" has let its turn pass"
    );
    assert_eq!(left(of_one("me")), "a b");
    let forced = Contender {
        force: Some(Condition::AcquiredEquals(false)),
        ..in_turn(Mode::Exclusive)
    };
    assert_eq!(left(forced), "a b");
}

#[test]
fn who_releases_names_the_next() {
    let record = held(Mode::Exclusive, &[("me", 30, 30)]);
    let released = |waiting: &[(&str, Mode)], seconds| {
        let object = object(&record, waiting);
        let mutex = seen(of_one("me"), &object, 0);
        let released = mutex.released(&object, &record, now(seconds)).unwrap();
        (released.record().unwrap(), Queue::read(&released))
    };
    let (free, _) = released(&[], 1);
    assert!(free.leases.is_empty());
    let two = [("a", Mode::Exclusive), ("b", Mode::Exclusive)];
    let (next, queue) = released(&two, 1);
    assert_eq!(next.leases["a"].granted, Some(0));
    assert_eq!(queue.waiters().len(), 1);
    // The first waiter's place no longer counts.
    let (next, queue) = released(&two, 60);
    assert!(next.leases.contains_key("b") && queue.waiters().is_empty());
}

#[test]
fn a_place_is_written_when_it_is_due() {
    let record = held(Mode::Exclusive, &[("a", 300, 300)]);
    let due = |contender, object: &Object, seconds| {
        let mutex = seen(contender, object, 10);
        mutex
            .place_due_at(now(seconds))
            .map(BootInstant::since_boot)
    };
    let fair = || in_turn(Mode::Exclusive);
    let after = |seconds| Some(at(seconds).since_boot());
    let nobody = object(&record, &[]);
    assert_eq!(due(of_one("me"), &nobody, 20), None);
    assert_eq!(due(fair(), &nobody, 20), after(20));
    // The named waiters write now.
    let next = object(&named(record.clone(), &["a"]), &[]);
    let settled = at(10).since_boot() + Duration::from_millis(100);
    assert_eq!(due(fair(), &next, 20), Some(settled));
    let ours = object(&record, &[("me", Mode::Exclusive)]);
    assert_eq!(due(fair(), &ours, 20), after(30));
    // A waiter that moves towards the head writes a third of its place's length later, which is in
    // time.
    let mut mutex = seen(
        fair(),
        &object(&record, &[("b", Mode::Exclusive), ("me", Mode::Exclusive)]),
        10,
    );
    assert_eq!(mutex.place_due_at(now(11)), Some(at(50)));
    let mut queue = Queue::read(&object(
        &record,
        &[("b", Mode::Exclusive), ("me", Mode::Exclusive)],
    ));
    queue.take_turn("b");
    let mut moved = nobody;
    queue.write(&mut moved);
    mutex.observe(Some(&moved), now(20));
    assert_eq!(mutex.place_due_at(now(21)), Some(at(40)));
    mutex.observe(Some(&moved), now(25));
    assert_eq!(mutex.place_due_at(now(26)), Some(at(40)));
    assert_eq!(due(fair(), &moved, 11), after(30));
    let mut late = seen(
        fair(),
        &object(&record, &[("b", Mode::Exclusive), ("me", Mode::Exclusive)]),
        10,
    );
    late.observe(Some(&moved), now(85));
    assert_eq!(late.place_due_at(now(86)), Some(at(90)));
}

#[test]
fn what_has_waited_is_noted_where_nobody_waits_in_turn() {
    let lease = |contender| {
        let wanted = NewLease {
            passed: Some(3),
            ..NewLease::new(Nonce(1))
        };
        let mutex = seen(contender, &object(&held(Mode::Exclusive, &[]), &[]), 0);
        mutex.new_lease(wanted, None, now(1)).passed
    };
    assert_eq!(lease(of_one("me")), Some(3));
    assert_eq!(lease(in_turn(Mode::Exclusive)), None);
    let mut record = held(Mode::Exclusive, &[("a", 30, 30)]);
    record.leases.get_mut("a").unwrap().passed = Some(4);
    let object = object(&record, &[]);
    assert_eq!(seen(of_one("me"), &object, 0).passed(&object), Some(4));
}

/// A token that only the version tells is recorded before the version changes.
#[test]
fn a_place_keeps_the_tokens_of_those_who_hold_the_lock() {
    let mut record = held(Mode::Exclusive, &[("a", 300, 300)]);
    record.leases.get_mut("a").unwrap().nonce = Some("1".to_owned());
    let object = object(&record, &[]);
    let mutex = seen(in_turn(Mode::Exclusive), &object, 0);
    let placed = mutex.placed(&object, Nonce(2), now(1)).unwrap();
    let token = placed.record().unwrap().leases["a"].token;
    assert_eq!(token, Some(Token::of(&object.version).unwrap()));
}
