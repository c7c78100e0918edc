//! `cargo xtask explore`: runs the lease engine and both locks through every history up to a number
//! of steps.

use clap::Args;

use crate::{Result, process};

#[derive(Args)]
pub(crate) struct Explore {
    /// Only this kind of lock: one of lockheed's, or cmlock's (pod)
    #[arg(long, value_name = "LOCK", value_parser = ["mutex", "shared", "fair", "pod"])]
    lock: Option<String>,
    /// How many contenders want the lock
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=3))]
    contenders: u8,
    /// The largest number of steps in a history
    #[arg(long, value_name = "N", default_value_t = 13)]
    depth: u32,
    /// The largest number of faults in a history
    #[arg(long, value_name = "N", default_value_t = 2)]
    faults: u8,
    /// Check one state in N, instead of each, for whether everybody is served from it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    served_of: u32,
    /// Stop after this many seconds for each kind of lock, at any depth
    #[arg(long, value_name = "N")]
    seconds: Option<u32>,
}

impl Explore {
    pub(crate) fn run(&self) -> Result {
        let run = [
            "run",
            "--profile",
            "sim",
            "--locked",
            "--package",
            "explore",
            "--",
        ];
        let mut cargo = process::cargo(run);
        cargo.args(self.lock.iter().flat_map(|lock| ["--lock", lock]));
        let numbers = [
            ("--contenders", Some(self.contenders.into())),
            ("--depth", Some(self.depth)),
            ("--faults", Some(self.faults.into())),
            ("--served-of", Some(self.served_of)),
            ("--seconds", self.seconds),
        ];
        for (name, number) in numbers {
            let number = number.map(|number: u32| number.to_string());
            cargo.args(
                number
                    .into_iter()
                    .flat_map(|number| [name.to_owned(), number]),
            );
        }
        process::run(&mut cargo)
    }
}
