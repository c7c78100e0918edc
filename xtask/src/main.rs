//! Tasks of this workspace: `cargo xtask --help` lists them.

mod bench;
mod ci;
mod demo;
mod dist;
mod e2e;
mod explore;
mod fuzz;
mod kernels;
mod kube;
mod pages;
mod pictures;
mod process;
mod promises;
mod sim;
mod soak;
mod target;
mod test;
mod tools;

use std::process::ExitCode;

use clap::Parser;

/// Tasks of this workspace
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Xtask {
    /// Build the tools and show them at work on this machine
    Demo {
        /// Start a Kubernetes API server, and show cmlock on it
        #[arg(long)]
        kube: bool,
    },
    /// Run a Kubernetes API server with RBAC on this machine
    #[command(subcommand)]
    Kube(kube::Kube),
    /// Run every test; the tests that need a cluster get one of their own
    Test(test::Test),
    /// Run the locking logic of lockheed and cmlock through many histories of failures, each from a
    /// seed
    Sim(sim::Sim),
    /// Cause real faults with all five tools at once, and check their promises
    Soak(soak::Soak),
    /// Run the examples of the READMEs and docs with the tools that are built, and compare the
    /// output
    Pages {
        /// Start a Kubernetes API server for the examples that need one, unless `cargo xtask kube`
        /// has
        #[arg(long)]
        kube: bool,
    },
    /// Draw the pictures of docs/pictures from their text
    Pictures(pictures::Pictures),
    /// Write the table of promises and their tests into RELIABILITY.md
    Promises,
    /// Run the locking logic of lockheed and cmlock through every history of failures, up to a
    /// number of steps
    Explore(explore::Explore),
    /// Look for input that a parser cannot handle, with cargo-fuzz if it is installed
    Fuzz(fuzz::Fuzz),
    /// Measure what the tools cost compared with others, and write it into BENCHMARKS.md
    Bench(bench::Bench),
    /// Run the process tools' scenarios on older Linux kernels, in a virtual machine
    Kernels(kernels::Kernels),
    /// Run the tools in real Pods, on a kind cluster
    E2e(e2e::E2e),
    /// Build the parts of a release
    #[command(subcommand)]
    Dist(dist::Dist),
    /// Run all checks that every change must pass, or only the named ones
    Ci {
        /// The checks to run, in this order
        #[arg(value_enum)]
        steps: Vec<ci::Step>,
    },
}

/// Why a task stopped, in words.
type Error = apiserver::Error;
type Result<T = ()> = std::result::Result<T, Error>;

fn main() -> ExitCode {
    let done = match Xtask::parse() {
        Xtask::Demo { kube } => demo::run(kube),
        Xtask::Kube(kube) => kube.run(),
        Xtask::Test(test) => test.run(),
        Xtask::Sim(sim) => sim.run(),
        Xtask::Soak(soak) => soak.run(),
        Xtask::Pages { kube } => kube::at_hand(kube).and_then(|it| pages::check(it.as_ref())),
        Xtask::Pictures(pictures) => pictures.run(),
        Xtask::Promises => promises::run(),
        Xtask::Explore(explore) => explore.run(),
        Xtask::Fuzz(fuzz) => fuzz.run(),
        Xtask::Bench(bench) => bench.run(),
        Xtask::Kernels(kernels) => kernels.run(),
        Xtask::E2e(e2e) => e2e.run(),
        Xtask::Dist(dist) => dist.run(),
        Xtask::Ci { steps } => ci::run(&steps),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
