//! Every promise, with the corpus and a fixed number of edited inputs.

use std::thread;

use fuzz::{Target, play, targets};

#[test]
fn no_input_breaks_a_promise() {
    let failed: Vec<_> = thread::scope(|scope| {
        let start = |target: &'static Target| scope.spawn(move || play(target, 0, target.cases));
        let played: Vec<_> = targets().into_iter().map(start).collect();
        let outcomes = played.into_iter().map(|played| played.join().unwrap());
        outcomes.filter_map(Result::err).collect()
    });
    let failed: Vec<_> = failed.iter().map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn a_promise_that_does_not_hold_is_found_and_told_by_a_small_input() {
    static TARGET: Target = Target {
        name: "broken",
        corpus: &[b"abcdefgh", b"12345678"],
        cases: 10_000,
        holds: |input| assert!(!input.windows(2).any(|two| two == b"d5"), "found"),
    };
    let told = play(&TARGET, 0, TARGET.cases).unwrap_err().to_string();
    assert!(told.starts_with("broken: found\n"), "{told}");
    assert!(told.contains("for the corpus: b\""), "{told}");
    assert_eq!(
        play(&TARGET, 0, TARGET.cases).unwrap_err().to_string(),
        told
    );
}

#[test]
fn each_target_has_a_name_of_its_own_and_a_corpus() {
    let mut names: Vec<_> = targets().iter().map(|target| target.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), targets().len());
    assert!(targets().iter().all(|target| !target.corpus.is_empty()));
}
