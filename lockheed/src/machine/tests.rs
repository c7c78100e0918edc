//! What goes in and what comes out, step by step; whole histories are played by the simulation.

use coord_core::Errno;

use super::*;
use crate::store::{StoreError, StoreErrorKind};

const LENGTH: Duration = Duration::from_secs(30);

fn machine() -> Machine {
    let settings = Settings {
        name: "x".parse().unwrap(),
        id: "me".to_owned(),
        goal: Goal::Acquire,
        length: Some(LENGTH),
        renew_interval: Some(LENGTH / 3),
        tags: Vec::new(),
        reset_tags: false,
        force: None,
        wait: Wait::Forever,
        skew: Duration::ZERO,
        alive: None,
        #[cfg(feature = "sim")]
        flaw: None,
    };
    Machine::new(settings, at(0), 1)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1000 + seconds)
}

fn actions(machine: &mut Machine) -> Vec<Action> {
    std::iter::from_fn(|| machine.action()).collect()
}

/// One that has acquired a lock that was not there, by one read and one write.
fn holder() -> Machine {
    let mut machine = machine();
    machine.handle(Input::Time, at(0));
    assert!(matches!(actions(&mut machine)[..], [Action::Read]));
    let now = Timestamp::from_unix(at(0));
    machine.handle(Input::Read(Ok((None, now))), at(1));
    let actions_now = actions(&mut machine);
    let [Action::Create(object)] = &actions_now[..] else {
        panic!("{actions_now:?}");
    };
    let version = Version::new("7");
    let written = Object {
        version,
        ..object.clone()
    };
    machine.handle(Input::Written(Ok(written)), at(5));
    let told = actions(&mut machine);
    assert!(
        matches!(
            told[..],
            [Action::Tell(News::Acquired { .. }), Action::Watch(_)]
        ),
        "{told:?}"
    );
    machine
}

fn refused() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, Errno::ECONNREFUSED, "refused")
}

#[test]
fn the_belief_ends_a_lease_after_the_write_was_sent_whatever_else_comes() {
    let mut machine = holder();
    machine.handle(Input::Time, at(11));
    assert!(matches!(actions(&mut machine)[..], [Action::Update(_)]));
    machine.handle(Input::Renew, at(31));
    let told = actions(&mut machine);
    assert!(
        matches!(told[..], [Action::Tell(News::Lost(_))]),
        "{told:?}"
    );
}

#[test]
fn a_watch_that_fails_at_once_is_not_begun_again_at_once() {
    let mut machine = holder();
    for _ in 0..5 {
        machine.handle(Input::WatchEnded(Some(refused())), at(6));
        let told = actions(&mut machine);
        assert!(
            matches!(told[..], [] | [Action::Tell(News::Unreachable(_))]),
            "{told:?}"
        );
        assert!(machine.wake_at().unwrap() > at(6));
    }
}

#[test]
fn a_store_that_does_not_answer_is_told_of_with_the_cause() {
    let mut machine = holder();
    let error = refused().caused_by("nobody listens");
    machine.handle(Input::WatchEnded(Some(error)), at(6));
    let told = actions(&mut machine);
    assert!(
        matches!(&told[..], [Action::Tell(News::Unreachable(why))] if why == "refused: nobody listens"),
        "{told:?}"
    );
}

#[test]
fn releasing_takes_one_write_and_no_watch_disturbs_it() {
    let mut machine = holder();
    machine.handle(Input::Release, at(6));
    assert!(matches!(actions(&mut machine)[..], [Action::Update(_)]));
    machine.handle(Input::WatchEnded(Some(refused())), at(6));
    assert!(actions(&mut machine).is_empty());
    let gone = Object::new(&"x".parse().unwrap());
    machine.handle(Input::Written(Ok(gone)), at(7));
    assert!(matches!(
        actions(&mut machine)[..],
        [Action::Tell(News::Released)]
    ));
    assert!(machine.is_done());
}
