//! What a lock means for one of several holders or waiters.

use super::*;
use crate::members::GROUP;

pub(super) fn now(seconds: u64) -> Moment {
    let shown = at(seconds).since_boot();
    Moment {
        boot: at(seconds),
        store: Some(StoreTime {
            earliest: shown,
            latest: shown,
        }),
    }
}

pub(super) fn time(seconds: u64) -> Timestamp {
    Timestamp::from_unix(at(seconds).since_boot())
}

pub(super) fn slots(count: u32) -> Mode {
    Mode::Slots(count.try_into().unwrap())
}

pub(super) fn wants(mode: Mode) -> Contender {
    Contender {
        mode,
        ..of_one("me")
    }
}

pub(super) fn in_turn(mode: Mode) -> Contender {
    Contender {
        fair: true,
        ..wants(mode)
    }
}

/// A lock with leases that end this many seconds from the beginning and have this length in
/// seconds.
pub(super) fn held(mode: Mode, leases: &[(&str, u64, u64)]) -> Record {
    let mut record = Record::mutex("x");
    record.mode = mode;
    for (id, end, length) in leases {
        let length = Some(Duration::from_secs(*length));
        let lease = Lease::new(id, time(*end), length);
        record.leases.insert((*id).to_owned(), lease);
    }
    record
}

pub(super) fn object(record: &Record, waiting: &[(&str, Mode)]) -> Object {
    let mut object = versioned(Object::new(&"x".parse().unwrap()), 900);
    object.set_record(record);
    let mut queue = Queue::default();
    for (id, mode) in waiting {
        queue.put(Waiter::new(id, *mode, 0, time(0)), (*id).to_owned());
    }
    queue.write(&mut object);
    object
}

pub(super) fn seen(contender: Contender, object: &Object, seconds: u64) -> Mutex {
    let mut mutex = Mutex::new(contender);
    mutex.observe(Some(object), now(seconds));
    mutex
}

pub(super) fn judged(contender: Contender, record: &Record, seconds: u64) -> Verdict<Mutex> {
    seen(contender, &object(record, &[]), 0).verdict(now(seconds))
}

#[test]
fn who_is_in_the_way_is_said_with_how_many_and_until_when() {
    let record = held(slots(2), &[("a", 40, 40), ("b", 30, 30)]);
    let by = |contender, record: &Record, seconds| match judged(contender, record, seconds) {
        Verdict::Held(by, until) => (by.to_string(), until),
        other => panic!("{other:?}"),
    };
    let until = |seconds| time(seconds).to_string();
    let (text, room) = by(wants(slots(2)), &record, 1);
    assert_eq!(
        text,
        format!("held by \"a\" and another until {}", until(30))
    );
    assert_eq!(room, Some(at(30)), "one slot is enough");
    let (text, room) = by(of_one("me"), &record, 1);
    assert_eq!(
        text,
        format!("held by \"a\" and another until {}", until(40))
    );
    assert_eq!(room, Some(at(40)), "all must end");
    let many = held(slots(3), &[("a", 40, 40), ("b", 30, 30), ("c", 50, 50)]);
    let (text, room) = by(wants(slots(3)), &many, 1);
    assert_eq!(
        text,
        format!("held by \"a\" and 2 others until {}", until(30))
    );
    assert_eq!(room, Some(at(30)));
    // By its own time the lease had expired before it was seen, but by no more than clocks may
    // differ.
    let alone = held(Mode::Exclusive, &[("a", 1, 40)]);
    for (seconds, is_past) in [(0, false), (1, true), (2, true)] {
        let (text, room) = by(of_one("me"), &alone, seconds);
        assert_eq!(text.contains("which is past, but"), is_past, "{text}");
        assert_eq!(room, Some(at(40)));
    }
    let mut endless = alone;
    endless.leases.get_mut("a").unwrap().expires = Timestamp::NEVER;
    let (text, room) = by(of_one("me"), &endless, 1);
    assert_eq!((&*text, room), ("held by \"a\" indefinitely", None));
}

#[test]
fn a_lock_is_held_in_one_way_at_a_time() {
    let refuses = |contender, record: &Record| match judged(contender, record, 1) {
        Verdict::Impossible(Refusal::OtherMode { other, wanted }) => Some((other, wanted)),
        _ => None,
    };
    let shared = held(Mode::Shared, &[("a", 30, 30)]);
    assert_eq!(
        refuses(wants(slots(2)), &shared),
        Some((Mode::Shared, slots(2)))
    );
    assert_eq!(refuses(wants(Mode::Shared), &shared), None);
    assert_eq!(refuses(wants(Mode::Exclusive), &shared), None, "it waits");
    let alone = held(Mode::Exclusive, &[("a", 30, 30)]);
    assert_eq!(refuses(wants(Mode::Shared), &alone), None, "it waits");
    let free = held(Mode::Shared, &[]);
    assert_eq!(refuses(wants(slots(2)), &free), None);
    // Earlier waiters count like holders.
    let waiting = object(&free, &[("a", Mode::Shared)]);
    let verdict = seen(in_turn(slots(2)), &waiting, 0).verdict(now(1));
    assert!(matches!(verdict, Verdict::Impossible(_)), "{verdict:?}");
    // A holder keeps its mode until its lease has expired.
    let ours = held(Mode::Shared, &[("me", 30, 30)]);
    assert_eq!(
        refuses(of_one("me"), &ours),
        Some((Mode::Shared, Mode::Exclusive))
    );
    let over = held(Mode::Shared, &[("me", 0, 30)]);
    assert_eq!(refuses(of_one("me"), &over), None);
    // A contender that only renews asks for no other mode.
    let renewing = seen(of_one("me"), &object(&ours, &[]), 0).renewing();
    let verdict = renewing.verdict(now(1));
    assert!(matches!(verdict, Verdict::Ours(_)), "{verdict:?}");
    let renewing = seen(of_one("me"), &object(&shared, &[]), 0).renewing();
    assert!(matches!(
        renewing.verdict(now(1)),
        Verdict::Impossible(Refusal::NotHeld(_))
    ));
}

pub(super) fn claimed(contender: Contender, object: &Object) -> (Record, Queue) {
    let mutex = seen(contender, object, 0);
    let lease = mutex.new_lease(NewLease::new(Nonce(1)), None, now(1));
    let Write::Update(object) = mutex.acquired(Some(object), lease, now(1)) else {
        panic!("not updated");
    };
    (object.record().unwrap(), Queue::read(&object))
}

#[test]
fn who_acquires_leaves_those_there_who_hold_it_too() {
    let ids = |record: &Record| record.leases.keys().cloned().collect::<Vec<_>>().join(" ");
    let two = held(slots(3), &[("a", 30, 30), ("b", 40, 40), ("old", 1, 1)]);
    let late = |contender, record: &Record| claimed(contender, &object(record, &[])).0;
    assert_eq!(ids(&late(wants(slots(3)), &two)), "a b me");
    // A holder that is forced in replaces the one whose lease would end first.
    assert_eq!(
        ids(&late(
            wants(slots(2)),
            &held(slots(2), &[("a", 30, 30), ("b", 40, 40)])
        )),
        "b me"
    );
    let alone = late(of_one("me"), &two);
    assert_eq!(
        (ids(&alone), alone.mode),
        ("me".to_owned(), Mode::Exclusive)
    );
    let shared = late(wants(Mode::Shared), &two);
    assert_eq!((ids(&shared), shared.mode), ("me".to_owned(), Mode::Shared));
    let readers = held(Mode::Shared, &[("a", 30, 30), ("b", 40, 40)]);
    assert_eq!(ids(&late(wants(Mode::Shared), &readers)), "a b me");
}

#[test]
fn a_lease_that_is_there_keeps_its_length_where_that_is_wanted() {
    let wanted = Some(Duration::from_secs(99));
    let object = object(&held(Mode::Exclusive, &[("me", 30, 30)]), &[]);
    let length = |mutex: &Mutex, grant| {
        let lease = NewLease {
            length: wanted,
            ..NewLease::new(Nonce(1))
        };
        let write = mutex.extend(&object, grant, lease, now(1)).unwrap();
        let Write::Update(written) = write else {
            panic!("{write:?}");
        };
        written.record().unwrap().leases["me"].duration()
    };
    let mutex = || seen(of_one("me"), &object, 0);
    let token = mutex().grant(&object).unwrap();
    for grant in [None, Some(&token)] {
        assert_eq!(length(&mutex(), grant), wanted);
        assert_eq!(length(&mutex().keeping_the_length(), grant), Some(LENGTH));
    }
    let mut endless = held(Mode::Exclusive, &[("me", 30, 30)]);
    endless.leases.get_mut("me").unwrap().expires = Timestamp::NEVER;
    let endless = self::object(&endless, &[]);
    assert_eq!(
        seen(of_one("me"), &endless, 0)
            .keeping_the_length()
            .length(wanted),
        None
    );
}

#[test]
fn what_is_no_mutex_is_refused() {
    for (kind, is_known) in [("", true), ("mutex", true), ("barrier", false)] {
        let mut record = held(Mode::Exclusive, &[]);
        record.lock_type = kind.to_owned();
        let verdict = judged(of_one("me"), &record, 1);
        assert_eq!(matches!(verdict, Verdict::Free), is_known, "{kind:?}");
    }
}

/// A break is reported to those whose leases it ended, until they hold the lock again.
#[test]
fn a_break_is_told_to_those_whose_leases_it_ended() {
    let mut broken = object(&held(Mode::Exclusive, &[]), &[]);
    Broken::new(vec!["me".to_owned()], "ops", time(1)).write(&mut broken);
    let told = |id: &str| match seen(of_one(id), &broken, 2).renewing().verdict(now(3)) {
        Verdict::Impossible(Refusal::NotHeld(why)) => why.broken,
        other => panic!("{other:?}"),
    };
    assert!(told("me").is_some() && told("other").is_none());
    let after = |id: &str| {
        let record = broken.record().unwrap();
        Broken::read(&edit::acquired(&broken, record, id, &[], false)).is_some()
    };
    assert!(after("other") && !after("me"));
    let none = object(&held(Mode::Exclusive, &[]), &[]);
    let verdict = seen(of_one("me"), &none, 2).renewing().verdict(now(3));
    assert!(matches!(verdict, Verdict::Impossible(Refusal::NotHeld(_))));
    let mut mutex = Mutex::new(of_one("me")).renewing();
    mutex.observe(None, now(0));
    let verdict = mutex.verdict(now(1));
    assert!(matches!(verdict, Verdict::Impossible(Refusal::NoLock)));
}

#[test]
fn a_holder_is_the_same_if_perhaps_until_another_time() {
    let lease = |by: &str, seconds| {
        let lease = Lease::new(by, time(seconds), Some(LENGTH));
        HeldBy::of(&lease, time(0))
    };
    let waiter = |by: &str| HeldBy::Waiter { by: by.to_owned() };
    let reserved = |by: &str| HeldBy::Reservation { by: by.to_owned() };
    let mutex = Mutex::new(of_one("me"));
    assert!(lease("a", 1).is_by_same(&lease("a", 2)));
    assert!(!mutex.is_same(&lease("a", 1), &lease("a", 2)), "news");
    assert!(mutex.is_same(&lease("a", 1), &lease("a", 1)));
    assert!(waiter("a").is_by_same(&waiter("a")) && reserved("a").is_by_same(&reserved("a")));
    for (one, other) in [
        (lease("a", 1), lease("b", 1)),
        (waiter("a"), waiter("b")),
        (reserved("a"), reserved("b")),
        (lease("a", 1), waiter("a")),
    ] {
        assert!(!one.is_by_same(&other), "{one:?} {other:?}");
    }
    let modes = [Mode::Exclusive, Mode::Shared, slots(3)];
    assert_eq!(
        modes.map(Mode::in_words),
        ["exclusively", "shared", "in 3 slots"]
    );
}

#[test]
fn a_group_that_cannot_be_read_is_waited_for_as_one() {
    let mut group = object(&held(Mode::Shared, &[("a", 30, 30)]), &[]);
    group.annotations.clear();
    let verdict = seen(wants(Mode::Shared), &group, 0).verdict(now(1));
    assert!(
        matches!(&verdict, Verdict::Held(HeldBy::Lease { by, .. }, Some(until)) if by == GROUP && *until == at(30)),
        "{verdict:?}"
    );
}
