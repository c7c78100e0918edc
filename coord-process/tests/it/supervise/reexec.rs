//! A program that executes itself again in the same process.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use super::{Command, example};

/// The variable that it uses is there before, and means another process.
#[test]
fn a_program_goes_on_as_itself_and_loses_no_signal() {
    // It would go on for ever if it did not know itself.
    let mut command = Command::new("prlimit");
    command.arg("--cpu=10").arg(example("reexec"));
    let arguments = ["one", "", "two words"];
    command.args(arguments).env("OTHER", "=value ");
    let output = command
        .env("EXAMPLE_STATE", "1:0:61:foreign")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (pid, said) = said.split_once('\n').unwrap();
    let expected = format!(
        "{pid}\ntext: a:b\nname: renamed\narguments: {arguments:?}\nOTHER: Ok(\"=value \")\nstate: Err(NotPresent)\n"
    );
    assert_eq!(said, expected);
    assert_eq!(output.status.signal(), Some(Signal::SIGUSR1 as i32));
}
