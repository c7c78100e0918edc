//! The driver for every compiler: the corpus, and a few edits of it.
//!
//! It uses proptest for its shrinking: for an input that breaks a promise, it finds the smallest
//! edits.

use std::fmt;

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};

use crate::Target;

/// Bytes that are special for some parser.
const WORDS: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b"\"",
    b"'",
    b"\\",
    b"/",
    b":",
    b"=",
    b",",
    b" ",
    b"-",
    b"+",
    b"%00",
    b"-1",
    b"0",
    b"1e999",
    b"4294967296",
    b"9223372036854775807",
    b"18446744073709551616",
    b"null",
    b"{}",
    b"[]",
    b"[[[[[[[[",
    b"true",
    b"\xff",
    b"\xe2\x80\xa8",
    b"\x1b[31m",
    b"NaN",
    b"..",
];

/// The longest input that edits make.
const LONGEST: usize = 4096;

/// A promise that was broken.
#[derive(Debug)]
pub struct Broken {
    target: &'static str,
    input: Vec<u8>,
    why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, input, why } = self;
        let input = input.escape_ascii();
        write!(f, "{target}: {why}\nfor the corpus: b\"{input}\"")
    }
}

impl std::error::Error for Broken {}

/// Tries the corpus as it is, and then this many edited inputs. The same seed gives the same
/// inputs.
///
/// # Errors
/// When a promise is broken; the error shows the input.
pub fn play(target: &'static Target, seed: u64, cases: u32) -> Result<(), Broken> {
    for input in target.corpus {
        play_some(target, &Just(input.to_vec()), seed, 1)?;
    }
    play_some(target, &edited(target.corpus), seed, cases)
}

fn play_some(
    target: &'static Target,
    inputs: &impl Strategy<Value = Vec<u8>>,
    seed: u64,
    cases: u32,
) -> Result<(), Broken> {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 1000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let played = TestRunner::new_with_rng(config, random).run(inputs, |input| {
        (target.holds)(&input);
        Ok(())
    });
    let (why, input) = match played {
        Ok(()) => return Ok(()),
        Err(TestError::Fail(why, input)) => (why, input),
        Err(TestError::Abort(why)) => (why, Vec::new()),
    };
    Err(Broken {
        target: target.name,
        input,
        why: why.to_string(),
    })
}

fn edited(corpus: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let edit = (
        0..6_u8,
        any::<u16>(),
        0..32_usize,
        any::<u8>(),
        select(WORDS),
        select(corpus),
    );
    let edits = prop::collection::vec(edit, 1..8);
    (select(corpus), edits).prop_map(|(input, edits)| {
        let mut input = input.to_vec();
        for (kind, at, length, byte, word, other) in edits {
            let at = usize::from(at) % (input.len() + 1);
            let end = (at + length).min(input.len());
            match kind {
                0 => drop(input.splice(at..(at + 1).min(input.len()), [byte])),
                1 => drop(input.splice(at..at, word.iter().copied())),
                2 => drop(input.drain(at..end)),
                3 => drop(input.splice(at..at, input[at..end].to_vec())),
                4 => drop(input.splice(at.., other[at.min(other.len())..].iter().copied())),
                _ => drop(input.splice(at..end, word.iter().copied())),
            }
            input.truncate(LONGEST);
        }
        input
    })
}
