//! `cargo xtask soak`: real faults over all five tools at once. This builds what is needed; the
//! package `soak` does the rest.

use std::{
    os::unix::process::CommandExt,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use nix::unistd::geteuid;

use crate::{Result, kube, process, tools::TOOLS};

#[derive(Args)]
pub(crate) struct Soak {
    /// How long things go wrong
    #[arg(long, value_name = "M", default_value_t = 10.0)]
    minutes: f64,
    /// What the faults are drawn from; when they come, and to whom, differs still
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

impl Soak {
    /// What every change must pass.
    pub(crate) fn short() -> Self {
        Self {
            minutes: 0.4,
            // What a change breaks is to be seen, not what another draw would have found before.
            seed: Some(1),
        }
    }

    pub(crate) fn run(&self) -> Result {
        // It takes our place, so that signals reach it.
        Err(self.command()?.exec().into())
    }

    /// In namespaces of its own: its disk is gone with it, and so is every process.
    pub(crate) fn command(&self) -> Result<Command> {
        // With the features of the whole workspace, as for its tests: nothing is built twice.
        let build = [
            "build",
            "--workspace",
            "--all-features",
            "--locked",
            "--bin=soak",
        ];
        let tools = TOOLS.map(|tool| format!("--bin={}", tool.binary));
        process::run(process::cargo(build).args(tools))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let seed = self.seed.unwrap_or(now.as_secs());
        let binaries = process::target().join("debug");
        let mut soak = Command::new("unshare");
        if !geteuid().is_root() {
            soak.arg("--map-root-user");
        }
        soak.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            // The first process of a namespace waits for those that lost their parent.
            .args(["sh", "-c", "\"$@\"; exit $?", "sh"])
            .arg(binaries.join("soak"))
            .arg("run")
            .arg("--binaries")
            .arg(binaries)
            .arg("--out")
            .arg(process::target().join("soak"))
            .arg("--checker")
            .arg(kube::checker()?)
            .args(["--seed", &seed.to_string()])
            .args(["--seconds", &format!("{:.0}", self.minutes * 60.0)]);
        if let Some(assets) = kube::assets()? {
            soak.env("KUBEBUILDER_ASSETS", assets);
        }
        Ok(soak)
    }
}
