//! The exploration, as `cargo xtask explore` runs it.

use std::{env, process::ExitCode, time::Duration};

use explore::{Kind, Setup, explore};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let number = |name: &str| value(name)?.parse::<u32>().ok();
    let small = |name: &str| number(name).and_then(|number| u8::try_from(number).ok());
    let wanted = value("--lock");
    let is_wanted = |kind: &Kind| wanted.is_none_or(|wanted| wanted == kind.name());
    let mut kinds = Kind::ALL.into_iter().filter(is_wanted).peekable();
    if kinds.peek().is_none() {
        eprintln!(
            "there is no such lock: {}",
            wanted.map_or("", String::as_str)
        );
        return ExitCode::FAILURE;
    }
    let mut is_well = true;
    for kind in kinds {
        let contenders = small("--contenders").unwrap_or(2);
        let mut setup = Setup::new(kind, contenders, number("--depth").unwrap_or(u32::MAX));
        setup.faults = small("--faults").unwrap_or(setup.faults);
        setup.served_of = number("--served-of").map_or(setup.served_of, u64::from);
        setup.limit = number("--seconds").map(|seconds| Duration::from_secs(seconds.into()));
        is_well &= one(&setup);
    }
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints the result; returns whether no promise was broken.
fn one(setup: &Setup) -> bool {
    let report = explore(setup);
    let seconds = report.took.as_secs_f64();
    let exhausted = match (report.is_all, report.depth == setup.depth) {
        (true, _) => "there are no more at any depth",
        (false, true) => "exhausted up to there",
        (false, false) => "stopped before the next depth was exhausted",
    };
    println!(
        "{:?}, {} contenders, at most {} faults: {} states, {} steps between them, depth {}: {exhausted}; {:.0} states/s, {seconds:.1} s",
        setup.kind,
        setup.contenders,
        setup.faults,
        report.states,
        report.transitions,
        report.depth,
        report.states as f64 / seconds,
    );
    println!(
        "  from {} of them it was checked that everybody is served; {} states of engines",
        report.served, report.engine_states,
    );
    match report.violation {
        None => true,
        Some(violation) => {
            eprintln!("{violation}");
            false
        }
    }
}
