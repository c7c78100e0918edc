//! `sipid status`.

use clap::Args;
use coord_core::{
    Status,
    cli::{self, Failure},
};
use sipid::{Pid, PidFile, PidFileStatus};

use super::FileArg;

#[derive(Args)]
pub(super) struct ShowStatus {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    output: String,
    #[command(flatten)]
    file: FileArg,
}

impl ShowStatus {
    pub(super) fn run(self) -> Result<Status, Failure> {
        let file = self.file.open();
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

fn in_words(file: &PidFile, state: &PidFileStatus) -> String {
    let path = file.path();
    let lock = if state.locked { "held" } else { "free" };
    let Some(pid) = state.pid else {
        return if state.exists {
            format!("not running: {path:?} is empty, lock {lock}\n")
        } else {
            format!("not running: no pidfile at {path:?}\n")
        };
    };
    if let Some(doubt) = &state.doubt {
        return format!("not running: {path:?} names process {pid}, but {doubt}\n");
    }
    let verdict = if state.running {
        "running"
    } else {
        "not running"
    };
    let identity = if state.identity.is_some() {
        "known"
    } else {
        "unknown"
    };
    format!("process {pid} ({path:?}) is {verdict}, identity {identity}, lock {lock}\n")
}

fn in_json(state: &PidFileStatus) -> String {
    let identity = state.identity.as_ref().map(|identity| {
        serde_json::json!({
            "pidfdInode": identity.pidfd, "start": identity.start, "boot": identity.boot,
            "pidNamespace": identity.namespace,
        })
    });
    let mut answer = serde_json::json!({
        "pid": state.pid.map(Pid::raw), "running": state.running, "locked": state.locked, "identity": identity,
    });
    if let Some(doubt) = &state.doubt {
        answer["doubt"] = doubt.as_str().into();
    }
    format!("{answer}\n")
}
