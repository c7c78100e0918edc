use super::*;

fn slots(count: u32) -> Mode {
    Mode::Slots(NonZeroU32::new(count).unwrap())
}

fn waiter(id: &str, mode: Mode, priority: u32) -> Waiter {
    Waiter::new(id, mode, priority, Timestamp::NEVER)
}

fn queue(waiters: &[(&str, Mode, u32)]) -> Queue {
    let mut queue = Queue::default();
    for (id, mode, priority) in waiters {
        queue.put(waiter(id, *mode, *priority), (*id).to_owned());
    }
    queue
}

fn ids(queue: &Queue) -> Vec<&str> {
    queue
        .waiters
        .iter()
        .map(|waiter| waiter.id.as_str())
        .collect()
}

#[test]
fn what_was_written_is_read_and_what_is_not_known_is_kept() {
    let queue = queue(&[("a", Mode::Exclusive, 0), ("b", slots(3), 7)]);
    let mut object = Object::new(&"x".parse().unwrap());
    queue.write(&mut object);
    assert_eq!(Queue::read(&object).waiters, queue.waiters);
    assert!(!object.annotations[QUEUE].contains(r#""priority":0"#));
    let text = &object.annotations[QUEUE];
    let noted = text.replace(r#""id":"a""#, r#""id":"a","note":1"#);
    object.annotations.insert(QUEUE.to_owned(), noted);
    let mut queue = Queue::read(&object);
    queue.put(waiter("a", Mode::Exclusive, 0), "again".to_owned());
    queue.write(&mut object);
    assert!(object.annotations[QUEUE].contains(r#""note":1"#));
    let nobody = object.annotations[QUEUE].replace(r#""id":"a""#, r#""id":"""#);
    object.annotations.insert(QUEUE.to_owned(), nobody);
    let left = Queue::read(&object);
    assert_eq!(ids(&left), ["b"]);
    assert_eq!(left.clone().into_waiters(), left.waiters);
    object.annotations.insert(QUEUE.to_owned(), "{".to_owned());
    assert_eq!(Queue::read(&object).waiters, []);
    Queue::default().write(&mut object);
    assert!(object.annotations.is_empty());
}

/// Somebody else may have written anything there.
#[test]
fn no_number_is_too_large() {
    let text = r#"[{"id":"a","since":"9999-12-31T23:59:59Z","priority":4294967295,"raised":4294967295,"durationMillis":18446744073709551615,"nonce":""}]"#;
    let mut object = Object::new(&"x".parse().unwrap());
    object.annotations.insert(QUEUE.to_owned(), text.to_owned());
    let mut queue = Queue::read(&object);
    let late = BootInstant::after_boot(Duration::MAX);
    assert_eq!(renew_at(&queue.waiters[0], late, (usize::MAX, late)), late);
    queue.put(waiter("b", Mode::Exclusive, u32::MAX), String::new());
    assert_eq!(
        (ids(&queue), queue.waiters[0].rank()),
        (vec!["a", "b"], u32::MAX)
    );
    let mut record = Record::mutex("x");
    let mut last = Lease::new("c", Timestamp::NEVER, None);
    last.granted = Some(u32::MAX);
    record.mode = Mode::Shared;
    record.leases.insert("c".to_owned(), last);
    queue.waiters[0].shared = true;
    queue.grant(&mut record, Timestamp::NEVER);
    assert_eq!(record.leases["a"].granted, Some(u32::MAX));
}

#[test]
fn who_comes_first_is_first_among_equals() {
    let all = ["c", "a", "b"].map(|id| (id, Mode::Exclusive, 0));
    assert_eq!(ids(&queue(&all)), ["c", "a", "b"]);
}

/// A place is kept, and counts for longer the farther it is from the head.
#[test]
fn a_place_is_kept() {
    let mut queue = queue(&["a", "b", "c"].map(|id| (id, Mode::Exclusive, 0)));
    queue.put(waiter("b", Mode::Exclusive, 0), "again".to_owned());
    assert_eq!(ids(&queue), ["a", "b", "c"]);
    assert_eq!(queue.waiters[1].nonce(), "again");
    let lengths = queue.waiters.iter().map(Waiter::length);
    assert_eq!(lengths.collect::<Vec<_>>(), [PLACE, PLACE * 2, PLACE * 3]);
}

#[test]
fn the_higher_priority_comes_first_and_nobody_is_put_off_for_ever() {
    let mut queue = queue(&[("low", Mode::Exclusive, 1), ("high", Mode::Exclusive, 3)]);
    assert_eq!(ids(&queue), ["high", "low"]);
    // After one more pass, their ranks are equal.
    for id in ["1", "2", "3"] {
        queue.put(waiter(id, Mode::Exclusive, 3), id.to_owned());
    }
    assert_eq!(ids(&queue), ["high", "1", "low", "2", "3"]);
}

#[test]
fn as_many_are_named_as_there_is_room_for_in_turn() {
    let shared = Mode::Shared;
    let waiting = [
        ("w", Mode::Exclusive, 0),
        ("r", shared, 0),
        ("s", shared, 0),
        ("x", Mode::Exclusive, 0),
        ("t", shared, 0),
    ];
    let mut queue = queue(&waiting);
    let mut record = Record::mutex("x");
    let mut rounds = Vec::new();
    for _ in 0..4 {
        record.leases.clear();
        queue.grant(&mut record, Timestamp::NEVER);
        let named = record.leases.keys().cloned().collect::<Vec<_>>();
        rounds.push((named.join(" "), record.mode));
    }
    let alone = Mode::Exclusive;
    let expected = [("w", alone), ("r s", shared), ("x", alone), ("t", shared)];
    assert_eq!(rounds, expected.map(|(ids, mode)| (ids.to_owned(), mode)));
}

#[test]
fn those_who_are_named_together_wait_as_many_rounds() {
    let shared = Mode::Shared;
    let queue = queue(&[
        ("w", Mode::Exclusive, 0),
        ("r", shared, 0),
        ("s", shared, 0),
        ("x", Mode::Exclusive, 0),
        ("a", slots(2), 0),
        ("b", slots(2), 0),
        ("c", slots(2), 0),
    ]);
    let rounds = ["w", "r", "s", "x", "a", "b", "c", "nobody"].map(|id| queue.rounds_before(id));
    assert_eq!(rounds, [0, 1, 1, 2, 3, 3, 4, 0]);
}

#[test]
fn who_is_named_with_others_has_longer_to_come() {
    let mut queue = queue(&["a", "b", "c", "d"].map(|id| (id, slots(3), 0)));
    let mut record = Record::mutex("x");
    queue.grant(&mut record, Timestamp::from_unix(Duration::ZERO));
    let granted = record.leases.values();
    let granted: Vec<_> = granted.map(|it| (it.granted, it.duration())).collect();
    let length = |named| (Some(named), Some(GRANT + GRANT_EACH * named));
    assert_eq!(granted, [length(0), length(1), length(2)]);
    assert_eq!(ids(&queue), ["d"]);
}

#[test]
fn who_has_let_its_turn_pass_leaves_the_queue() {
    let mut queue = queue(&["a", "b", "c"].map(|id| (id, Mode::Exclusive, 0)));
    queue.take_turn("b");
    assert_eq!(ids(&queue), ["c"]);
    queue.take_turn("nobody");
    assert_eq!(ids(&queue), ["c"]);
}

#[test]
fn a_queue_has_a_limit() {
    let mut queue = queue(&[("a", Mode::Exclusive, 0)]);
    let rest = LONGEST - queue.to_json().len();
    queue.waiters[0].id.push_str(&"a".repeat(rest));
    assert!(!queue.is_too_long());
    queue.waiters[0].id.push('a');
    assert!(queue.is_too_long());
}
