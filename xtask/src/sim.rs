//! `cargo xtask sim`: runs the lease engine and both locks in virtual time, over a network that
//! loses and delays messages.

use clap::Args;

use crate::{Result, process};

#[derive(Args)]
pub(crate) struct Sim {
    /// How many histories to run
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    seeds: u64,
    /// The first of them; a long run can be made in parts
    #[arg(long, value_name = "S", default_value_t = 0)]
    from: u64,
    /// Only this kind of lock: one of lockheed's in ConfigMaps or Leases, or cmlock's (pod)
    #[arg(long, value_name = "LOCK", value_parser = ["mutex", "shared", "slots", "fair", "queue", "lease", "lease-queue", "pod"])]
    lock: Option<String>,
    /// Run only the history of this seed, and show everything that happens
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
}

impl Sim {
    pub(crate) fn run(&self) -> Result {
        let run = [
            "run",
            "--profile",
            "sim",
            "--locked",
            "--package",
            "sim",
            "--",
        ];
        let mut cargo = process::cargo(run);
        cargo.args(self.lock.iter().flat_map(|lock| ["--lock", lock]));
        match self.seed {
            Some(seed) => cargo.args(["--seed", &seed.to_string()]),
            None => cargo.args([
                "--from",
                &self.from.to_string(),
                "--seeds",
                &self.seeds.to_string(),
            ]),
        };
        process::run(&mut cargo)
    }
}
