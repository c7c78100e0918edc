//! `cargo xtask bench`: what the tools cost. This builds the programs to measure; the package
//! `bench` does the rest.

use std::{path::PathBuf, process::Command};

use clap::{Args, Subcommand};
use nix::unistd::geteuid;

use crate::{Result, kube, process, target, tools::TOOLS};

#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// Only these groups, such as `start` or `hand-off`; the figures of other groups stay unchanged
    #[arg(long, num_args = 1..)]
    only: Vec<String>,
    /// Fewer rounds, to check that it works
    #[arg(long)]
    quick: bool,
}

#[derive(Subcommand)]
enum Instead {
    /// Write BENCHMARKS.md and its pictures from the latest results
    Render,
    /// Compare the number of instructions that a start takes with the recorded one
    Instructions {
        /// Record the numbers
        #[arg(long)]
        write: bool,
    },
}

impl Bench {
    pub(crate) fn run(&self) -> Result {
        match self.instead {
            None => self.measure(),
            Some(Instead::Render) => render(),
            Some(Instead::Instructions { write }) => instructions(write),
        }
    }

    /// Measures in its own namespaces, so no process outlives it.
    fn measure(&self) -> Result {
        let linked = target::build_static(&target::smallest()?, &TOOLS)?;
        let mut dynamic = process::cargo(["build", "--release", "--locked"]);
        for tool in TOOLS {
            dynamic.args(tool.build());
        }
        process::run(&mut dynamic)?;
        let mut bench = Command::new("unshare");
        if !geteuid().is_root() {
            bench.arg("--map-root-user");
        }
        bench
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            // The first process of a namespace waits for processes that lost their parent.
            .args(["sh", "-c", "\"$@\"; exit $?", "sh"])
            .arg(program()?)
            .arg("measure")
            .arg(results())
            .arg("--dynamic")
            .arg(process::target().join("release"))
            .arg("--static")
            .arg(linked)
            .arg("--leader")
            .arg(kube::leader()?.1);
        if let Some(assets) = kube::assets()? {
            bench.env("KUBEBUILDER_ASSETS", assets);
        }
        if self.quick {
            bench.arg("--quick");
        }
        if !self.only.is_empty() {
            bench.arg("--only").args(&self.only);
        }
        process::run(&mut bench)?;
        render()
    }
}

/// The measured results, with the machine.
fn results() -> PathBuf {
    process::root().join("dev/bench/results.json")
}

fn render() -> Result {
    let root = process::root();
    let mut render = Command::new(program()?);
    render.arg("render").arg(results());
    render.arg("--document").arg(root.join("BENCHMARKS.md"));
    render.arg("--pictures").arg(root.join("docs/benchmarks"));
    process::run(&mut render)
}

/// Counts for the static binaries, which depend on no library of the machine.
pub(crate) fn instructions(write: bool) -> Result {
    let binaries = target::build_static(&target::smallest()?, &TOOLS)?;
    // With the features of the whole workspace, as for its tests, so nothing is built twice.
    let build = [
        "build",
        "--workspace",
        "--all-features",
        "--locked",
        "--bin=bench",
    ];
    process::run(&mut process::cargo(build))?;
    let mut count = Command::new(process::target().join("debug/bench"));
    count.arg("instructions").arg(binaries);
    count.arg(process::root().join("dev/bench/instructions.json"));
    if write {
        count.arg("--write");
    }
    process::run(&mut count)
}

/// Built with optimisation, because one part of it holds locks, but with a profile that builds
/// quickly.
fn program() -> Result<PathBuf> {
    let directory = process::target().join("bench");
    let mut build = process::cargo(["build", "--release", "--locked", "--package=bench"]);
    build.arg("--target-dir").arg(&directory);
    for (name, value) in [("OPT_LEVEL", "2"), ("LTO", "off"), ("CODEGEN_UNITS", "16")] {
        build.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
    process::run(&mut build)?;
    Ok(directory.join("release/bench"))
}
