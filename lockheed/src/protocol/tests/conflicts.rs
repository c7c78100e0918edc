//! Writes that others' writes, or the server, keep from being done.

use super::*;

/// Answers all writes of a holder with a conflict, for ten seconds. Each answer takes this long, and
/// `others` says what is stored by then. Returns how many writes were tried.
fn conflicting(
    engine: &mut Engine<Mutex>,
    answer: Duration,
    mut others: impl FnMut() -> Object,
) -> usize {
    let conflict = || StoreError::new(StoreErrorKind::Conflict, Errno::EAGAIN, "409");
    let (mut now, mut tried) = (at(12), 0);
    let mut object = others();
    engine.handle(Input::Time, now);
    while now < at(22) {
        for output in outputs(engine) {
            match output {
                Output::Read => engine.handle(read(Some(object.clone())), now),
                Output::Write(_) => {
                    tried += 1;
                    object = others();
                    engine.handle(Input::Written(Err(conflict()), None), now);
                }
                _ => {}
            }
        }
        now = now + answer;
        engine.handle(Input::Time, now);
    }
    tried
}

/// The others may be a crowd that joins the queue. Who is faster each time is chance, so the holder
/// must try often before its lease is over. But no loop spins.
#[test]
fn a_holder_tries_again_soon_while_others_are_faster() {
    for (answer, release) in [(1, false), (1, true), (100, false), (100, true)] {
        let (mut engine, object) = holder();
        let mut version = 700;
        let others = || {
            version += 1;
            versioned(object.clone(), version)
        };
        if release {
            engine.handle(Input::Release, at(12));
        }
        let tried = conflicting(&mut engine, Duration::from_millis(answer), others);
        assert!((20..300).contains(&tried), "{tried} writes in ten seconds");
    }
}

/// Nobody was faster: the server refuses each write.
// Holds lockheed-8.
#[test]
fn a_holder_whose_writes_are_all_refused_tries_less_and_less_often() {
    for release in [false, true] {
        let (mut engine, object) = holder();
        if release {
            engine.handle(Input::Release, at(12));
        }
        let answer = Duration::from_millis(1);
        let tried = conflicting(&mut engine, answer, || object.clone());
        assert!((3..15).contains(&tried), "{tried} writes in ten seconds");
    }
}
