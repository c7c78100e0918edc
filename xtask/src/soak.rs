//! `cargo xtask soak`: causes real faults with all five tools at once. This builds what is needed;
//! the package `soak` does the rest.

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
    /// How long faults are caused
    #[arg(long, value_name = "M", default_value_t = 10.0)]
    minutes: f64,
    /// The seed of the faults. When they happen, and to which process, still varies
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

impl Soak {
    /// The short run that every change must pass.
    pub(crate) fn short() -> Self {
        Self {
            minutes: 0.4,
            // A fixed seed shows faults of the change, not those that another seed would have found
            // before.
            seed: Some(1),
        }
    }

    pub(crate) fn run(&self) -> Result {
        // It replaces this process, so that signals reach it.
        Err(self.command()?.exec().into())
    }

    /// Runs in its own namespaces, so its disk and all its processes end with it.
    pub(crate) fn command(&self) -> Result<Command> {
        // With the features of the whole workspace, as for its tests, so nothing is built twice.
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
            // The first process of a namespace waits for processes that lost their parent.
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
