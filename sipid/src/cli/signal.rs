//! `sipid signal`.

use clap::Args;
use coord_core::{Status, cli::Failure};

use super::FileArg;

#[derive(Args)]
pub(super) struct Signal {
    /// Signal to send, as a name or a number: HUP, SIGHUP, -HUP, 1 or -1
    #[arg(value_name = "SIGNAL", allow_hyphen_values = true)]
    signal: sipid::Signal,
    #[command(flatten)]
    file: FileArg,
}

impl Signal {
    pub(super) fn run(self) -> Result<Status, Failure> {
        self.file.open().signal(self.signal)?;
        Ok(Status::DONE)
    }
}
