//! Other programs, which do not outlive their caller's interest in them.

use std::{fs, io::ErrorKind, path::Path, process::Stdio};

use tokio::process::Command;

use crate::Result;

/// A command that is killed when nobody waits for it any more.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

/// What a command prints that must succeed; if it does not, what it complained about is the error.
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
        said.trim()
    )
    .into())
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Makes a directory that has nothing in it, whatever was there.
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
