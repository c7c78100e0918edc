//! The simulation, as `cargo xtask sim` runs it: `sim [--lock KIND] [--from S] [--seeds N]`, or
//! `sim [--lock KIND] --seed S`.

use std::{
    env,
    num::NonZeroUsize,
    ops::Range,
    panic,
    process::{ExitCode, exit},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Instant,
};

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
        (None, seeds) => {
            let from = number("--from").unwrap_or(0);
            !many(kind, from..from + seeds.unwrap_or(1000))
        }
    };
    if kinds.any(fails) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs one seed and prints everything that happens.
fn one(kind: Kind, seed: u64) -> bool {
    let outcome = sim::run(kind, seed, None, true);
    for line in &outcome.trace {
        println!("{line}");
    }
    println!(
        "seed {seed}: acquired {} times, lost {}, {} requests, digest {:016x}",
        outcome.acquired, outcome.lost, outcome.requests, outcome.digest
    );
    let Some(violation) = outcome.violation else {
        return true;
    };
    println!("{violation}");
    tell(kind, seed);
    false
}

/// Prints how a seed breaks a promise, as shortly as possible.
fn tell(kind: Kind, seed: u64) {
    let Some(story) = sim::shrink(kind, seed, None) else {
        return;
    };
    eprintln!(
        "{kind:?}, seed {seed}: {}\nIt takes {} of {} faults:",
        story.violation, story.faults, story.of
    );
    for line in story.lines {
        eprintln!("  {line}");
    }
    eprintln!("All that happens: --lock {} --seed {seed}", kind.name());
}

/// The result of many histories.
#[derive(Default)]
struct Sum {
    acquired: u64,
    lost: u64,
    requests: u64,
    faults: u64,
    /// The first seed that breaks a promise.
    broken: Option<u64>,
}

/// Runs these seeds, as many at once as there are processors. Stops when one breaks a promise.
fn play(kind: Kind, seeds: &Range<u64>) -> Sum {
    let (next, is_broken) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let part = || {
        let mut sum = Sum::default();
        while !is_broken.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                break;
            }
            let run = || sim::run(kind, seed, None, false);
            let outcome = panic::catch_unwind(run).unwrap_or_else(|_| {
                eprintln!("It panicked: --lock {} --seed {seed}", kind.name());
                exit(101)
            });
            sum.acquired += u64::from(outcome.acquired);
            sum.lost += u64::from(outcome.lost);
            sum.requests += outcome.requests;
            sum.faults += u64::from(outcome.faults);
            if outcome.violation.is_some() {
                sum.broken = Some(seed);
                is_broken.store(true, Relaxed);
            }
        }
        sum
    };
    let count = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let parts: Vec<Sum> = thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(part)).collect();
        let parts = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| exit(101)));
        parts.collect()
    });
    parts.into_iter().fold(Sum::default(), |one, other| Sum {
        acquired: one.acquired + other.acquired,
        lost: one.lost + other.lost,
        requests: one.requests + other.requests,
        faults: one.faults + other.faults,
        broken: one.broken.into_iter().chain(other.broken).min(),
    })
}

fn many(kind: Kind, seeds: Range<u64>) -> bool {
    let begun = Instant::now();
    let sum = play(kind, &seeds);
    if let Some(seed) = sum.broken {
        tell(kind, seed);
        return false;
    }
    // If several hold the lock at once, there are no hand-offs from one to the next.
    let is_handed_on = matches!(kind, Kind::Mutex | Kind::Fair | Kind::Lease | Kind::Pod);
    for contenders in [2, 10, 100].into_iter().filter(|_| is_handed_on) {
        let seen = sim::hand_offs(kind, contenders, 0);
        println!(
            "{kind:?}, {contenders} contenders: {:.1} writes tried for a hand-off; free for {:.1} writes' time at the median, {:.1} at the 99th percentile; {} % handed on to another",
            seen.attempts, seen.median, seen.slowest, seen.handed_on
        );
    }
    println!(
        "{kind:?}, {} seeds in {} s: acquired {} times, lost {} times, {} requests, {} faults; no promise was broken",
        seeds.end - seeds.start,
        begun.elapsed().as_secs(),
        sum.acquired,
        sum.lost,
        sum.requests,
        sum.faults,
    );
    true
}
