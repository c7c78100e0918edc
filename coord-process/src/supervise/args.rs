//! The arguments that tell every wrapper command how to stop its command.

use std::{ffi::OsString, time::Duration};

use clap::Args;
use coord_core::{cli::help::heading, signal_name};

use super::{KillMode, Plan, Rewrite};

#[expect(missing_docs, reason = "clap would show it as the text of the command")]
#[derive(Args, Clone, Debug)]
pub struct StopArgs {
    /// Signal that asks the command to stop: a name such as TERM or RTMIN+3, or a number
    #[arg(long, value_name = "SIGNAL", default_value = "TERM", value_parser = signal_name::parse, help_heading = heading::COMMAND)]
    signal: i32,
    /// Which processes are asked to stop: the command and all that it started (tree), or only the
    /// command (main). After the grace period, all that are left are killed
    #[arg(long, value_enum, value_name = "MODE", default_value_t, help_heading = heading::COMMAND)]
    kill_mode: KillMode,
    /// Forward an incoming signal as another one, such as TERM=QUIT; may be repeated
    #[arg(long = "rewrite", value_name = "FROM=TO", help_heading = heading::COMMAND)]
    rewrites: Vec<Rewrite>,
}

impl StopArgs {
    /// The plan for a command that is stopped in this way.
    #[must_use]
    pub fn plan(&self, command: Vec<OsString>, grace: Duration) -> Plan {
        Plan::new(command)
            .grace(grace)
            .signal(self.signal)
            .kill_mode(self.kill_mode)
            .rewrites(self.rewrites.clone())
    }
}
