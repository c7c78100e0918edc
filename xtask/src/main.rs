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
    /// A Kubernetes API server on this machine, with RBAC on
    #[command(subcommand)]
    Kube(kube::Kube),
    /// Run every test, those that need a cluster with one of their own
    Test(test::Test),
    /// Play the locking logic of lockheed and cmlock through many histories of failures, each from
    /// a seed
    Sim(sim::Sim),
    /// Let real things go wrong, over all five tools at once, and check what they promise
    Soak(soak::Soak),
    /// Run what the READMEs and docs show, with the tools as they were built last, and compare what
    /// they print
    Pages {
        /// Start a Kubernetes API server for what needs one, unless `cargo xtask kube` has
        #[arg(long)]
        kube: bool,
    },
    /// Draw the pictures of docs/pictures from their text
    Pictures(pictures::Pictures),
    /// Write down which tests hold what the READMEs promise, in RELIABILITY.md
    Promises,
    /// Play lockheed's and cmlock's locking logic through every history of failures, up to a number
    /// of steps
    Explore(explore::Explore),
    /// Look for bytes that somebody else may write and a parser cannot handle, with cargo-fuzz
    /// where it is installed
    Fuzz(fuzz::Fuzz),
    /// Measure what the tools cost, beside others, and write it into BENCHMARKS.md
    Bench(bench::Bench),
    /// Play the process tools' scenarios on older Linux kernels, in a virtual machine
    Kernels(kernels::Kernels),
    /// Show the tools at work in real Pods, on a kind cluster
    E2e(e2e::E2e),
    /// Make what a release is made of
    #[command(subcommand)]
    Dist(dist::Dist),
    /// Check what every change must pass: all steps, or those named
    Ci {
        /// The steps to run, in this order
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
