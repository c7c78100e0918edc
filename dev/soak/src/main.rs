//! Causes real faults with all five tools at once, and checks what they promise: `cargo xtask
//! soak`.
//!
//! Many small loops of real processes contend, lead, follow and wait. Faults are drawn from a seed.
//! When they have ended, everybody must be served, and everything that was written down must fit
//! together. This runs as root in a PID and a mount namespace of its own.

mod check;
mod faults;
mod section;
mod setup;
mod workloads;
mod world;

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{self, ExitCode},
    sync::{Mutex, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use apiserver::Result;
use clap::{Args, Parser};

use crate::{
    faults::Faults,
    world::{BOUND, lock},
};

#[derive(Parser)]
enum Soak {
    /// Cause faults, and check what the tools promise
    Run(Run),
    /// Run as the command of a lock's holder
    Section(section::Section),
}

/// The settings of a run.
#[derive(Args)]
struct Run {
    /// The directory of the tools
    #[arg(long)]
    binaries: PathBuf,
    /// The directory of the logs; its old content is removed
    #[arg(long)]
    out: PathBuf,
    /// The program that judges histories
    #[arg(long)]
    checker: PathBuf,
    /// How long faults are caused
    #[arg(long)]
    seconds: u64,
    /// The seed of the faults
    #[arg(long)]
    seed: u64,
}

fn main() -> ExitCode {
    let done = match Soak::parse() {
        Soak::Run(run) => run.run(),
        Soak::Section(section) => section.run().map(|()| true).map_err(Into::into),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Run {
    /// Returns whether nothing was wrong.
    fn run(&self) -> Result<bool> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let (world, cluster, namespace, proxies, tokens) =
            setup::set_up(&self.binaries, &self.out)?;
        world.say(&format!(
            "seed {}, faults for {} s",
            self.seed, self.seconds
        ));
        let mut faults = Faults::new(&world, cluster, proxies, tokens, random.fork());
        let served = Mutex::new(BTreeSet::new());
        let workloads = workloads::all();
        let names: BTreeSet<String> = workloads.iter().map(|it| it.name.clone()).collect();
        thread::scope(|threads| {
            for workload in workloads {
                let (world, served, random) = (&world, &served, random.fork());
                let serve = move |name: &str| {
                    lock(served).insert(name.to_owned());
                };
                threads.spawn(move || workload.run(world, random, serve));
            }
            if let Err(error) = faults.run(Duration::from_secs(self.seconds)) {
                // When this process ends, its namespace ends, with everything in it.
                world.say(&format!("soak: {error}"));
                process::exit(1);
            }
            world.say("no more faults: everybody is to be served now");
            world.calm.store(section::now(), Ordering::Relaxed);
            let since = Instant::now();
            while *lock(&served) != names && since.elapsed() < BOUND {
                thread::sleep(Duration::from_millis(50));
            }
            world.say(&format!(
                "{} of {} were served",
                lock(&served).len(),
                names.len()
            ));
            for name in names.difference(&lock(&served)) {
                world.violation(&format!(
                    "{name} was not served within {BOUND:?} after the faults"
                ));
            }
            world.over.store(true, Ordering::Relaxed);
        });
        setup::check_what_is_left(&world, &faults.cluster, &namespace);
        // The namespace is removed with the cluster.
        std::mem::forget(namespace);
        let sums = check::all(&world, &workloads::LOCKS, &faults.restores, &self.checker);
        for (what, count) in world.counts() {
            world.say(&format!("{count:8} {what}"));
        }
        for sum in sums {
            world.say(&format!(
                "{:18} acquired {:5}, lost {:3}, worst wait {:5.1} s, excused {:3}",
                sum.name, sum.acquired, sum.lost, sum.worst_wait, sum.excused
            ));
        }
        let violations = world.violations();
        for violation in violations.iter().collect::<BTreeSet<_>>() {
            let times = violations.iter().filter(|it| *it == violation).count();
            world.say(&format!("VIOLATION, {times} times: {violation}"));
        }
        world.say(&format!(
            "{} violations, seed {}",
            violations.len(),
            self.seed
        ));
        if violations.is_empty() {
            drop(faults);
            fs::remove_dir_all(self.out.join("cluster"))?;
        } else {
            world.say(&format!("what was said and written is in {:?}", self.out));
        }
        Ok(violations.is_empty())
    }
}
