//! Starting other programs, cargo above all.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use crate::Result;

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// The cargo that runs this task, in the workspace's root.
pub(crate) fn cargo(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// The tests of all features, which count on INT and QUIT: `.ci/run &` in a script shall pass too. One crate's failure hides no other's.
/// Most tests wait for something: twice as many as there are processors keep those busy.
pub(crate) fn cargo_test() -> Command {
    let mut command = cargo(["test", "--all-features", "--locked", "--no-fail-fast"]);
    let threads = thread::available_parallelism().map_or(2, |processors| 2 * processors.get());
    if env::var_os("RUST_TEST_THREADS").is_none() {
        command.env("RUST_TEST_THREADS", threads.to_string());
    }
    testkit::process::interruptible(&mut command);
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |target| root().join(target))
}

/// Where cargo keeps what it fetched.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(env::home_dir()?.join(".cargo")))
        .ok_or_else(|| "neither CARGO_HOME nor HOME is set".into())
}

/// Where the PATH has a program.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Fails if one of these programs is not there, each with where it comes from.
pub(crate) fn check_programs(programs: &[(&str, &str)]) -> Result {
    let missing: Vec<&str> = programs
        .iter()
        .filter_map(|(name, how)| on_path(name).is_none().then_some(*how))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("not on the PATH, and needed:\n  {}", missing.join("\n  ")).into())
}

/// Runs a program of another root directory in it.
pub(crate) fn run_in_root(root: &Path, program: &str, arguments: &[&str]) -> Result {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--root"]);
    run(command.arg(root).arg(program).args(arguments))
}

/// Says what is run, runs it, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> Result {
    eprintln!("$ {}", shown(command));
    let status = command
        .status()
        .map_err(|error| format!("cannot run {}: {error}", shown(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} failed: {status}", shown(command)).into())
    }
}

/// What it prints, for a command that must succeed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .map_err(|error| format!("cannot run {}: {error}", shown(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} failed: {}\n{stderr}", shown(command), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let name = |text: &OsStr| {
        Path::new(text)
            .file_name()
            .unwrap_or(text)
            .to_string_lossy()
            .into_owned()
    };
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(name(command.get_program()))
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}
