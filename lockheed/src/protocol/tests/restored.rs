//! A store that was restored to an earlier state, as from a backup.

use super::*;

/// A restored store's state counts, however low its versions are.
// Holds lockheed-9.
#[test]
fn who_reads_that_its_write_was_undone_has_lost_the_lock() {
    let (mut engine, object) = holder();
    engine.handle(Input::WatchEnded(None), at(6));
    engine.handle(Input::Time, at(7));
    assert!(matches!(outputs(&mut engine)[..], [Output::Read]));
    engine.handle(read(Some(versioned(object, 300))), at(7));
    let told = outputs(&mut engine);
    assert!(
        matches!(told[..], [Output::Tell(Event::Lost(LeaseLost::Undone))]),
        "{told:?}"
    );
    let mut waiter = contender(Wait::Forever);
    let free = |version| versioned(edit::empty(&Object::new(&"x".parse().unwrap())), version);
    waiter.handle(Input::Time, at(0));
    outputs(&mut waiter);
    let mut held = Record::mutex("x");
    let length = Some(LENGTH);
    let other = Lease::new("other", Timestamp::NEVER, length);
    held.leases.insert("other".to_owned(), other);
    let mut object = free(900);
    object.data.insert(RECORD.to_owned(), held.to_json());
    waiter.handle(read(Some(object)), at(0));
    outputs(&mut waiter);
    waiter.handle(Input::WatchEnded(None), at(1));
    waiter.handle(Input::Time, at(2));
    outputs(&mut waiter);
    waiter.handle(read(Some(free(400))), at(2));
    let asked = outputs(&mut waiter);
    assert!(
        asked
            .iter()
            .any(|output| matches!(output, Output::Write(_))),
        "{asked:?}"
    );
}

/// The write in doubt was to replace a version that no longer exists. Nothing has to be written
/// before the store reaches a higher one.
// Holds lockheed-9.
#[test]
fn who_releases_after_the_store_was_put_back_writes_nothing() {
    let (mut engine, object) = holder();
    let before = edit::empty(&object);
    engine.handle(Input::Time, at(11));
    writes(&mut engine);
    let unknown = StoreError::new(StoreErrorKind::Unknown, Errno::ETIMEDOUT, "no answer");
    engine.handle(Input::Written(Err(unknown), None), at(12));
    outputs(&mut engine);
    engine.handle(Input::Time, engine.wake_at().unwrap());
    assert!(matches!(outputs(&mut engine)[..], [Output::Read]));
    engine.handle(read(Some(versioned(before.clone(), 300))), at(14));
    let told = outputs(&mut engine);
    assert!(
        matches!(told[..], [Output::Tell(Event::Lost(LeaseLost::Undone))]),
        "{told:?}"
    );
    engine.handle(Input::Release, at(15));
    let mut done = outputs(&mut engine);
    if matches!(done[..], [Output::Read]) {
        engine.handle(read(Some(versioned(before, 300))), at(15));
        done = outputs(&mut engine);
    }
    assert!(
        matches!(done[..], [Output::Tell(Event::Released)]),
        "{done:?}"
    );
}

/// The state after the restore is older than the deletion.
// Holds lockheed-9.
#[test]
fn a_store_that_was_put_back_to_before_a_deletion_is_believed() {
    let mut waiter = contender(Wait::Forever);
    waiter.handle(Input::Time, at(0));
    outputs(&mut waiter);
    let mut held = Record::mutex("x");
    let lease = Lease::new("other", Timestamp::NEVER, Some(LENGTH));
    held.leases.insert("other".to_owned(), lease);
    let mut object = Object::new(&"x".parse().unwrap());
    object.data.insert(RECORD.to_owned(), held.to_json());
    waiter.handle(read(Some(versioned(object.clone(), 900))), at(0));
    outputs(&mut waiter);
    waiter.handle(Input::Deleted(Version::new("901")), at(1));
    let mut asked = outputs(&mut waiter);
    if asked.is_empty() {
        waiter.handle(Input::Time, waiter.wake_at().unwrap());
        asked = outputs(&mut waiter);
    }
    assert!(
        matches!(asked[..], [Output::Write(Write::Create(_))]),
        "{asked:?}"
    );
    let conflict = StoreError::new(StoreErrorKind::Conflict, Errno::EEXIST, "it is there");
    waiter.handle(Input::Written(Err(conflict), None), at(2));
    assert!(matches!(outputs(&mut waiter)[..], [Output::Read]));
    waiter.handle(read(Some(versioned(object, 400))), at(2));
    let told = outputs(&mut waiter);
    let waits = |output: &Output<Mutex>| {
        matches!(
            output,
            Output::Tell(Event::Waiting(_)) | Output::Watch(Some(_))
        )
    };
    assert!(told.iter().any(waits), "{told:?}");
    assert!(
        !told.iter().any(|output| matches!(output, Output::Write(_))),
        "{told:?}"
    );
}

/// A watch may stay silent until the store reaches the version from which it was started.
// Holds lockheed-9.
#[test]
fn a_watch_begins_again_from_what_there_is_now() {
    let mut waiter = contender(Wait::Forever);
    let held = |version| {
        let mut record = Record::mutex("x");
        let holder = format!("other-{version}");
        let lease = Lease::new(
            &holder,
            Timestamp::from_unix(at(30).since_boot()),
            Some(LENGTH),
        );
        record.leases.insert(holder, lease);
        let mut object = versioned(Object::new(&"x".parse().unwrap()), version);
        object.data.insert(RECORD.to_owned(), record.to_json());
        object
    };
    waiter.handle(Input::Time, at(0));
    outputs(&mut waiter);
    waiter.handle(read(Some(held(900))), at(0));
    outputs(&mut waiter);
    // When the lease should have expired, the contender tries to claim, which reveals the other
    // state.
    let mut all = Vec::new();
    for _ in 0..10 {
        let now = waiter.wake_at().unwrap_or(at(60));
        waiter.handle(Input::Time, now);
        while let Some(asked) = waiter.poll() {
            match asked {
                Output::Write(_) => {
                    let refused = StoreError::new(StoreErrorKind::Conflict, Errno::EAGAIN, "");
                    waiter.handle(Input::Written(Err(refused), None), now);
                }
                Output::Read => waiter.handle(read(Some(held(400))), now),
                _ => {}
            }
            all.push(asked);
        }
    }
    let begins = |output: &Output<Mutex>| matches!(output, Output::Watch(Some(since)) if since.as_str() == "400");
    assert!(all.iter().any(begins), "{all:?}");
}

/// No watch reports a deletion: there is no object, and then one with lower versions.
#[test]
fn a_store_that_was_put_back_to_when_there_was_nothing_is_believed() {
    let mut waiter = contender(Wait::Forever);
    waiter.handle(Input::Time, at(0));
    outputs(&mut waiter);
    let free = edit::empty(&Object::new(&"x".parse().unwrap()));
    waiter.handle(read(Some(versioned(free.clone(), 900))), at(0));
    let claims = |output: &Output<Mutex>| matches!(output, Output::Write(Write::Update(_)));
    assert!(outputs(&mut waiter).iter().any(claims));
    let unknown = StoreError::new(StoreErrorKind::Unknown, Errno::ETIMEDOUT, "no answer");
    waiter.handle(Input::Written(Err(unknown), None), at(1));
    outputs(&mut waiter);
    waiter.handle(Input::Time, waiter.wake_at().unwrap());
    assert!(matches!(outputs(&mut waiter)[..], [Output::Read]));
    waiter.handle(read(None), at(3));
    let asked = outputs(&mut waiter);
    assert!(
        matches!(asked[..], [.., Output::Write(Write::Create(_))]),
        "{asked:?}"
    );
    let conflict = StoreError::new(StoreErrorKind::Conflict, Errno::EEXIST, "it is there");
    waiter.handle(Input::Written(Err(conflict), None), at(3));
    outputs(&mut waiter);
    if let Some(wake) = waiter.wake_at() {
        waiter.handle(Input::Time, wake);
        outputs(&mut waiter);
    }
    let mut held = Record::mutex("x");
    let lease = Lease::new("other", Timestamp::NEVER, Some(LENGTH));
    held.leases.insert("other".to_owned(), lease);
    let mut object = free;
    object.data.insert(RECORD.to_owned(), held.to_json());
    waiter.handle(read(Some(versioned(object, 401))), at(4));
    outputs(&mut waiter);
    waiter.handle(Input::Cancel, at(5));
    let told = outputs(&mut waiter);
    assert!(
        matches!(told[..], [Output::Tell(Event::Failed(Failure::Cancelled))]),
        "{told:?}"
    );
}
