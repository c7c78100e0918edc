//! The targets that are linked statically.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, process, tools::Tool};

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

/// Makes a build of these tools that needs no file at run time, and where their images are made of
/// it, a release build, and of what those need beside, so that all of it is built once. Returns
/// where it is.
pub(crate) fn build_static(target: &str, tools: &[Tool]) -> Result<PathBuf> {
    let is_for_images = target == smallest()?;
    let mut build = process::cargo(["build", "--release", "--locked", "--target", target]);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    build.env(c_compiler(target), "cc");
    if !is_for_images {
        // That it links and runs is all that is looked for, and optimising takes minutes.
        for (name, value) in [("OPT_LEVEL", "0"), ("LTO", "off"), ("CODEGEN_UNITS", "16")] {
            build.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
        }
    }
    for tool in tools {
        build.args(tool.build());
        if is_for_images {
            build.args(tool.beside);
        }
    }
    process::run(&mut build)?;
    Ok(process::target().join(target).join("release"))
}

/// The variable that names the C compiler for a target. What is written in C below us needs no C library, so that the host's will do for musl.
pub(crate) fn c_compiler(target: &str) -> String {
    format!("CC_{}", target.replace('-', "_"))
}
