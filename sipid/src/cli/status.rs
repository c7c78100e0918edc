//! `sipid status`.

use clap::Args;
use coord_core::{
    Status,
    cli::{self, Failure},
};
use sipid::{Pid, PidFile, State};

use super::FileArg;

#[derive(Args)]
pub(super) struct ShowStatus {
    #[command(flatten)]
    file: FileArg,
    /// How to say it
    #[arg(short, long, value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

impl ShowStatus {
    pub(super) fn run(self) -> Result<Status, Failure> {
        let file = PidFile::new(self.file.pid_file);
        let state = file.status()?;
        cli::print(&if self.output == "json" {
            in_json(&state)
        } else {
            in_words(&file, &state)
        })?;
        Ok(if state.running {
            Status::DONE
        } else {
            Status::NO
        })
    }
}

fn in_words(file: &PidFile, state: &State) -> String {
    let verdict = if state.running {
        "running"
    } else {
        "not running"
    };
    let pid = state
        .pid
        .map_or_else(|| "no process".to_owned(), |pid| format!("process {pid}"));
    let identity = if state.identity.is_some() {
        "known"
    } else {
        "unknown"
    };
    let lock = if state.locked { "held" } else { "free" };
    format!(
        "{pid} ({:?}) is {verdict}, identity {identity}, lock {lock}\n",
        file.path()
    )
}

fn in_json(state: &State) -> String {
    let identity = state.identity.as_ref().map(|identity| {
        serde_json::json!({
            "pidfd_inode": identity.pidfd, "start": identity.start, "boot": identity.boot,
            "pid_namespace": identity.namespace,
        })
    });
    let state = serde_json::json!({
        "pid": state.pid.map(Pid::raw), "running": state.running, "locked": state.locked, "identity": identity,
    });
    format!("{state}\n")
}
