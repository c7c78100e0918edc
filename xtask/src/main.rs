//! Tasks of this workspace: `cargo xtask --help` lists them.

mod ci;
mod demo;
mod dist;
mod e2e;
mod explore;
mod fuzz;
mod kube;
mod process;
mod promises;
mod serve;
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
    /// Serve HTTP, for the demo
    #[command(hide = true)]
    ServeHttp,
    /// Run every test, those that need a cluster with one of their own
    Test(test::Test),
    /// Play the locking logic of lockheed and cmlock through many histories of failures, each from
    /// a seed
    Sim(sim::Sim),
    /// Let real things go wrong, over all five tools at once, and check what they promise
    Soak(soak::Soak),
    /// Write down which tests hold what the READMEs promise, in RELIABILITY.md
    Promises,
    /// Play lockheed's and cmlock's locking logic through every history of failures, up to a number
    /// of steps
    Explore(explore::Explore),
    /// Look for bytes that somebody else may write and a parser cannot handle, with cargo-fuzz
    /// where it is installed
    Fuzz(fuzz::Fuzz),
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

/// Why a task stopped, for people.
type Error = apiserver::Error;
type Result<T = ()> = std::result::Result<T, Error>;

fn main() -> ExitCode {
    let done = match Xtask::parse() {
        Xtask::Demo { kube } => demo::run(kube),
        Xtask::Kube(kube) => kube.run(),
        Xtask::ServeHttp => serve::run(),
        Xtask::Test(test) => test.run(),
        Xtask::Sim(sim) => sim.run(),
        Xtask::Soak(soak) => soak.run(),
        Xtask::Promises => promises::run(),
        Xtask::Explore(explore) => explore.run(),
        Xtask::Fuzz(fuzz) => fuzz.run(),
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
