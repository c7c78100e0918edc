//! The simulation, as `cargo xtask sim` runs it: `sim [--seeds N] [--seed S]`.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    match (number("--seed"), number("--seeds")) {
        (Some(seed), _) => one(seed),
        (None, seeds) => many(seeds.unwrap_or(1000)),
    }
}

/// One seed, with everything that happens.
fn one(seed: u64) -> ExitCode {
    let outcome = sim::run(seed, None, true);
    for line in &outcome.trace {
        println!("{line}");
    }
    println!(
        "seed {seed}: acquired {} times, lost {}, {} requests, digest {:016x}",
        outcome.acquired, outcome.lost, outcome.requests, outcome.digest
    );
    match outcome.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            eprintln!("seed {seed}: {violation}");
            ExitCode::FAILURE
        }
    }
}

/// Seeds from zero on; stops at the first that breaks a promise.
fn many(seeds: u64) -> ExitCode {
    let (mut acquired, mut lost, mut requests) = (0_u64, 0_u64, 0);
    for seed in 0..seeds {
        let outcome = sim::run(seed, None, false);
        if let Some(violation) = outcome.violation {
            eprintln!("seed {seed}: {violation}; replay it with --seed {seed}");
            return ExitCode::FAILURE;
        }
        acquired += u64::from(outcome.acquired);
        lost += u64::from(outcome.lost);
        requests += outcome.requests;
    }
    for contenders in [2, 10, 100] {
        let seen = sim::hand_offs(contenders, 0);
        println!(
            "{contenders} contenders: {:.1} writes tried for a hand-off; free for {:.1} writes' time at the median, {:.1} at the 99th percentile",
            seen.attempts, seen.median, seen.slowest
        );
    }
    println!(
        "{seeds} seeds: acquired {acquired} times, lost {lost} times, {requests} requests; no promise was broken"
    );
    ExitCode::SUCCESS
}
