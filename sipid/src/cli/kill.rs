//! `sipid kill`.

use std::time::Duration;

use clap::Args;
use coord_core::{
    Status,
    cli::{Failure, help::heading},
    duration,
    live::LiveLine,
};
use sipid::Schedule;

use super::FileArg;

#[derive(Args)]
pub(super) struct Kill {
    /// Before KILL, send QUIT and wait 1s, for runtimes that print their stacks on QUIT
    #[arg(long, help_heading = heading::WAITING)]
    show_stacks: bool,
    /// How long to wait between TERM and KILL
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration::parse, help_heading = heading::WAITING)]
    timeout: Duration,
    /// Signals to send and seconds to wait, as for start-stop-daemon, such as TERM/20/QUIT/1/KILL
    /// or -15/20/-9; 20 alone means TERM/20/KILL/20
    #[arg(long, value_name = "SCHEDULE", allow_hyphen_values = true, conflicts_with_all = ["show_stacks", "timeout"], help_heading = heading::WAITING)]
    retry: Option<Schedule>,
    /// End the whole process group, which the process must lead
    #[arg(long, help_heading = heading::PROCESS)]
    group: bool,
    #[command(flatten)]
    file: FileArg,
}

impl Kill {
    pub(super) fn run(self) -> Result<Status, Failure> {
        let file = self.file.open();
        let schedule = self.retry.unwrap_or_else(|| {
            if self.show_stacks {
                Schedule::terminate_showing_stacks(self.timeout)
            } else {
                Schedule::terminate(self.timeout)
            }
        });
        let _line = LiveLine::start(
            format!("waiting for the process in {:?} to end", file.path()),
            None,
        );
        if self.group {
            file.kill_group(&schedule)?
        } else {
            file.kill(&schedule)?
        };
        Ok(Status::DONE)
    }
}
