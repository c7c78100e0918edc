//! The simulation, as `cargo xtask sim` runs it: `sim [--lock KIND] [--seeds N] [--seed S]`.

use std::{env, process::ExitCode};

use sim::Kind;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let wanted = arguments.iter().position(|argument| argument == "--lock");
    let wanted = wanted.and_then(|at| arguments.get(at + 1));
    let is_wanted = |kind: &Kind| wanted.is_none_or(|wanted| wanted == kind.name());
    let mut kinds = Kind::ALL.into_iter().filter(is_wanted).peekable();
    if kinds.peek().is_none() {
        eprintln!(
            "there is no such lock: {}",
            wanted.map_or("", String::as_str)
        );
        return ExitCode::FAILURE;
    }
    let fails = |kind: Kind| match (number("--seed"), number("--seeds")) {
        (Some(seed), _) => !one(kind, seed),
        (None, seeds) => !many(kind, seeds.unwrap_or(1000)),
    };
    if kinds.any(fails) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// One seed, with everything that happens.
fn one(kind: Kind, seed: u64) -> bool {
    let outcome = sim::run(kind, seed, None, true);
    for line in &outcome.trace {
        println!("{line}");
    }
    println!(
        "seed {seed}: acquired {} times, lost {}, {} requests, digest {:016x}",
        outcome.acquired, outcome.lost, outcome.requests, outcome.digest
    );
    match outcome.violation {
        None => true,
        Some(violation) => {
            eprintln!("{kind:?}, seed {seed}: {violation}");
            false
        }
    }
}

/// Seeds from zero on; stops at the first that breaks a promise.
fn many(kind: Kind, seeds: u64) -> bool {
    let (mut acquired, mut lost, mut requests) = (0_u64, 0_u64, 0);
    for seed in 0..seeds {
        let outcome = sim::run(kind, seed, None, false);
        if let Some(violation) = outcome.violation {
            eprintln!(
                "{kind:?}, seed {seed}: {violation}; replay it with --lock {} --seed {seed}",
                kind.name()
            );
            return false;
        }
        acquired += u64::from(outcome.acquired);
        lost += u64::from(outcome.lost);
        requests += outcome.requests;
    }
    // Where several hold it at once, there are no hand-offs from one to the next.
    let is_handed_on = matches!(kind, Kind::Mutex | Kind::Fair | Kind::Pod);
    for contenders in [2, 10, 100].into_iter().filter(|_| is_handed_on) {
        let seen = sim::hand_offs(kind, contenders, 0);
        println!(
            "{kind:?}, {contenders} contenders: {:.1} writes tried for a hand-off; free for {:.1} writes' time at the median, {:.1} at the 99th percentile; {} % handed on to another",
            seen.attempts, seen.median, seen.slowest, seen.handed_on
        );
    }
    println!(
        "{kind:?}, {seeds} seeds: acquired {acquired} times, lost {lost} times, {requests} requests; no promise was broken"
    );
    true
}
