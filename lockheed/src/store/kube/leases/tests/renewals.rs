//! What others notice of a renewal.

use super::{LENGTH, by_client_go, held, lock, now, ours, reading, record, set, time, writing};
use crate::{Lease, Mode, Record, members::GROUP, store::Object};

/// client-go compares `renewTime` in whole seconds, and may not have seen the one before.
// Holds lockheed-1.
#[test]
fn renewals_raise_the_second_of_the_renew_time_whatever_the_clock_does() {
    let mut object = reading(&held());
    let times = [
        (
            "2030-01-02T03:04:05.123456789Z",
            "2030-01-02T03:04:06.000000Z",
        ),
        ("2030-01-02T03:04:05.9Z", "2030-01-02T03:04:07.000000Z"),
        ("2030-01-02T03:04:08.5Z", "2030-01-02T03:04:08.500000Z"),
        ("2030-01-02T03:04:08.7Z", "2030-01-02T03:04:09.000000Z"),
        ("2030-01-02T03:04:02Z", "2030-01-02T03:04:10.000000Z"),
        ("2030-01-02T03:04:11Z", "2030-01-02T03:04:11.000000Z"),
    ];
    for (number, (now, renewed)) in times.into_iter().enumerate() {
        let mut record = record(&object);
        let mut lease = ours(time(now));
        lease.nonce = Some(number.to_string());
        record.leases.insert("me".to_owned(), lease);
        set(&mut object, &record);
        let written = writing(&object, time(now));
        assert_eq!(written["spec"]["renewTime"], renewed, "{now}");
        let acquired = &written["spec"]["acquireTime"];
        assert_eq!(*acquired, "2030-01-02T03:04:05.123456Z", "{now}");
        assert_eq!(written["spec"]["leaseTransitions"], 0, "{now}");
        object = reading(&written);
    }
}

/// Here the clock was set back, and the group's lease ends as before.
// Holds lockheed-1.
#[test]
fn each_members_renewal_is_a_renewal_of_the_group() {
    let mut object = Object::new(&lock());
    let mut record = Record::mutex("x");
    record.mode = Mode::Shared;
    let length = Some(LENGTH);
    for (id, nonce) in [("a", "1"), ("b", "2")] {
        let mut lease = Lease::new(id, now().plus(LENGTH), length);
        lease.nonce = Some(nonce.to_owned());
        record.leases.insert(id.to_owned(), lease);
    }
    object.set_record(&record);
    object = reading(&writing(&object, now()));
    let held = writing(&object, now());
    assert_eq!(held["spec"]["holderIdentity"], GROUP);
    assert_eq!(writing(&reading(&held), now()), held, "nothing is changed");

    record.leases.get_mut("b").unwrap().nonce = Some("3".to_owned());
    object.set_record(&record);
    let renewed = writing(&object, now());
    assert_eq!(renewed["spec"]["renewTime"], "2030-01-02T03:04:06.000000Z");
    assert_eq!(reading(&renewed).record().unwrap(), record);

    // client-go has it by now. What is left of the group is removed, and renews nothing.
    let theirs = by_client_go(&renewed, "them", 15, "2030-01-02T03:06:00.000000Z");
    let mut object = reading(&theirs);
    let free = object.record().unwrap();
    object.set_record(&free);
    let written = writing(&object, now());
    assert_eq!(written["spec"], theirs["spec"]);
    let annotations = &written["metadata"]["annotations"];
    assert!(annotations.get("lockheed/holders").is_none());
}

/// It is no renewal if somebody else has recorded the token of a lease.
#[test]
fn a_token_that_is_recorded_later_leaves_the_fields() {
    let mut object = reading(&held());
    let mut record = record(&object);
    let lease = record.leases.get_mut("me").unwrap();
    lease.nonce = Some("2".to_owned());
    set(&mut object, &record);
    let written = writing(&object, now());
    let mut object = reading(&written);
    let lease = record.leases.get_mut("me").unwrap();
    lease.token = Some("7".parse().unwrap());
    set(&mut object, &record);
    let noted = writing(&object, now());
    assert_eq!(noted["spec"], written["spec"]);
    assert_eq!(self::record(&reading(&noted)), record);
}
