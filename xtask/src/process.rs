//! Starts other programs, above all cargo.

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

/// The tests with all features. They rely on INT and QUIT, and must also pass under `.ci/run &` in
/// a script. A failure in one crate does not hide another's. Most tests wait for something, so
/// twice as many threads as processors keep those busy.
pub(crate) fn cargo_test() -> Command {
    let mut command = cargo(["test", "--all-features", "--locked", "--no-fail-fast"]);
    let threads = thread::available_parallelism().map_or(2, |processors| 2 * processors.get());
    if env::var_os("RUST_TEST_THREADS").is_none() {
        command.env("RUST_TEST_THREADS", threads.to_string());
    }
    testkit::process::interruptible(&mut command);
    command
}

/// Cargo's output directory.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |target| root().join(target))
}

/// Cargo's home, where it keeps downloads.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(env::home_dir()?.join(".cargo")))
        .ok_or_else(|| "neither CARGO_HOME nor HOME is set".into())
}

/// The path of a program in the PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Fails if one of these programs is missing, and says where to get it.
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

/// Runs a program from another root directory inside that directory.
pub(crate) fn run_in_root(root: &Path, program: &str, arguments: &[&str]) -> Result {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--root"]);
    run(command.arg(root).arg(program).args(arguments))
}

/// Prints a command, runs it, and fails if it fails.
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

/// The output of a command, which must succeed.
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
