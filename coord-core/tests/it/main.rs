//! Runs a tool built on this crate as a real process: statuses, messages and logs together.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod log;
mod runner;
mod signals;
mod usage;

use std::{
    path::PathBuf,
    process::{Command, Output},
};

/// The example `statuses`, which cargo builds beside the tests.
fn statuses() -> Command {
    let test = std::env::current_exe().unwrap();
    let profile: PathBuf = test.ancestors().nth(2).unwrap().to_owned();
    let mut command = Command::new(profile.join("examples/statuses"));
    command
        .env_remove("STATUSES_LOG_FILTER")
        .env_remove("STATUSES_LOG_STYLE");
    command
}

fn run(args: &[&str]) -> Output {
    statuses().args(args).output().unwrap()
}

/// Status, standard output and standard error together.
#[track_caller]
fn assert_output(output: &Output, status: i32, stdout: &str, stderr: &str) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr)
        ),
        (Some(status), stdout.to_owned(), stderr.to_owned()),
    );
}
