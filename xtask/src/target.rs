//! The targets that are linked statically.

use std::{path::Path, process::Command};

use crate::{Result, process};

pub(crate) fn host() -> Result<String> {
    let rustc = process::output(Command::new("rustc").args(["--version", "--verbose"]))?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc names no host")?.to_owned())
}

/// The host's machine with musl, if that is installed.
pub(crate) fn installed_musl() -> Result<Option<String>> {
    let musl = host()?.replace("-gnu", "-musl");
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let installed = Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(&musl)
        .join("lib")
        .is_dir();
    Ok(installed.then_some(musl))
}

/// musl where it is installed, else the host's own.
pub(crate) fn smallest() -> Result<String> {
    installed_musl()?.map_or_else(host, Ok)
}

/// A release build, of what the caller adds, that needs no file at run time.
pub(crate) fn static_build(target: &str) -> Command {
    let build = ["build", "--release", "--locked", "--target"];
    let mut build = process::cargo(build);
    build.arg(target);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    build.env(c_compiler(target), "cc");
    build
}

/// The variable that names the C compiler for a target. What is written in C below us needs no C library, so that the host's will do for musl.
pub(crate) fn c_compiler(target: &str) -> String {
    format!("CC_{}", target.replace('-', "_"))
}
