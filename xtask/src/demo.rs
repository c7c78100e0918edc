//! `cargo xtask demo`: shows each tool at work on this machine, in a directory that is removed
//! afterwards.

mod cmlock;
mod exitdir;
mod lockheed;
mod lockpipe;
mod sipid;
mod stage;

use self::stage::Stage;
use crate::{
    Result, kube,
    process::{self, cargo},
    tools::TOOLS,
};

/// Shows cmlock only if a cluster is up (`cargo xtask kube up`), or `start` asks for one.
pub(crate) fn run(start: bool) -> Result {
    println!(
        "This builds the five tools, not optimised, which takes a minute or two the first time.\n\
         Then it shows each of them at work for some seconds, in a directory that is removed at the end."
    );
    let packages = TOOLS.map(|tool| ["--package", tool.package]);
    let build = ["build", "--quiet", "--locked", "--bins"];
    process::run(cargo(build).args(packages.as_flattened()))?;
    let mut stage = Stage::set_up()?;
    lockpipe::show(&mut stage)?;
    exitdir::show(&mut stage)?;
    sipid::show(&mut stage)?;
    lockheed::show(&mut stage)?;
    match kube::at_hand(start)? {
        Some(cluster) => cmlock::show(&mut stage, &cluster)?,
        None => println!("\n== cmlock needs a Kubernetes API server: cargo xtask demo --kube"),
    }
    println!(
        "\nThe binaries are in {:?}. To try next:\n\
         - the READMEs of lockpipes, exitdir, sipid, lockheed and cmlock, and --help of each command\n\
         - cargo install --locked --path lockpipes    (or another one: optimised, into ~/.cargo/bin)\n\
         - cargo xtask kube up                        (an API server to try lockheed and cmlock on)",
        stage.binaries()
    );
    Ok(())
}
