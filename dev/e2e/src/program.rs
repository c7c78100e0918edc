//! Other programs, which end when nobody waits for them any more.

use std::{fs, io::ErrorKind, path::Path, process::Stdio};

use tokio::process::Command;

use crate::Result;

/// A command that is killed when nobody waits for it any more.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// The output of a command that must succeed. If it fails, the error has what it wrote to standard
/// error.
pub(crate) async fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .await
        .map_err(|error| format!("cannot run {}: {error}", shown(command)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{} failed, {}: {}",
        shown(command),
        output.status,
        telling(said.trim())
    )
    .into())
}

/// The most lines of an error.
pub(crate) const SHOWN: usize = 12;

/// The whole text. If it is long, only its lines that begin with "error"; if there are none, its
/// last lines.
fn telling(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    if lines.len() <= SHOWN {
        return said.to_owned();
    }
    let is_error = |line: &&&str| line.to_lowercase().starts_with("error");
    let errors: Vec<&str> = lines.iter().filter(is_error).copied().collect();
    let telling = match errors.is_empty() {
        true => &lines[lines.len() - SHOWN..],
        false => &errors[..errors.len().min(SHOWN)],
    };
    telling.join("\n")
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Creates an empty directory, and removes what was there.
pub(crate) fn empty_directory(path: &Path) -> Result {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(format!("cannot empty {path:?}: {error}").into());
        }
        _ => {}
    }
    fs::create_dir_all(path).map_err(|error| format!("cannot make {path:?}: {error}").into())
}

/// Copies a file, or a directory of files, into a directory.
pub(crate) fn copy(from: &Path, directory: &Path) -> Result {
    let name = from
        .file_name()
        .ok_or_else(|| format!("{from:?} has no name"))?;
    let to = directory.join(name);
    if !from.is_dir() {
        let copied = fs::copy(from, &to).map(drop);
        return copied.map_err(|error| format!("cannot copy {from:?} to {to:?}: {error}").into());
    }
    fs::create_dir_all(&to)?;
    for entry in fs::read_dir(from)? {
        copy(&entry?.path(), &to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_much_that_was_said_the_errors_are_shown() {
        let progress = "step\n".repeat(SHOWN);
        assert_eq!(telling("one\ntwo"), "one\ntwo");
        assert_eq!(
            telling(&format!("{progress}ERROR: a\nstep\nerror: b\nstep")),
            "ERROR: a\nerror: b"
        );
        assert_eq!(telling(&format!("first\n{progress}")), progress.trim());
    }
}
