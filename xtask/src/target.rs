//! The targets that are linked statically.

use std::{
    env::consts::ARCH,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, process, tools::Tool};

/// How much is done for a build.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Effort {
    /// What people get.
    Release,
    /// That it links and runs is all that is looked for, and optimising takes minutes.
    Quick,
}

pub(crate) fn host() -> Result<String> {
    let rustc = process::output(Command::new("rustc").args(["--version", "--verbose"]))?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc names no host")?.to_owned())
}

/// The host's machine with musl, if that is installed.
pub(crate) fn installed_musl() -> Result<Option<String>> {
    let musl = host()?.replace("-gnu", "-musl");
    Ok(is_installed(&musl)?.then_some(musl))
}

pub(crate) fn is_installed(target: &str) -> Result<bool> {
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(target);
    Ok(library.join("lib").is_dir())
}

/// musl where it is installed, else the host's own.
pub(crate) fn smallest() -> Result<String> {
    installed_musl()?.map_or_else(host, Ok)
}

/// Makes a build of these tools that needs no file at run time, with all effort on the target that
/// images and packages are made of. Returns where it is.
pub(crate) fn build_static(target: &str, tools: &[Tool]) -> Result<PathBuf> {
    let effort = if target == smallest()? {
        Effort::Release
    } else {
        Effort::Quick
    };
    build(target, tools, effort)
}

/// The same with this effort. On the target that images are made of, what those need beside is
/// built, too, so that all of it is built once.
pub(crate) fn build(target: &str, tools: &[Tool], effort: Effort) -> Result<PathBuf> {
    let is_for_images = target == smallest()?;
    let mut build = process::cargo(["build", "--release", "--locked", "--target", target]);
    build.env("CARGO_ENCODED_RUSTFLAGS", flags(target)?.join("\x1f"));
    build.env(c_compiler(target), c_compiler_for(target));
    if effort == Effort::Quick {
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

/// Checks that the tools for macOS compile for it. Nothing is linked, so the C code of our
/// dependencies need not be compiled, for which a Mac would be needed.
pub(crate) fn check_macos() -> Result {
    const TARGET: &str = "aarch64-apple-darwin";
    if !is_installed(TARGET)? {
        return Err(format!("the target is missing: rustup target add {TARGET}").into());
    }
    let mut check = process::cargo(["check", "--locked", "--target", TARGET]);
    for tool in crate::tools::TOOLS.iter().filter(|tool| tool.is_for_macos) {
        check.args(tool.build());
    }
    check.envs([("RUSTFLAGS", "-D warnings"), ("SDKROOT", "/")]);
    check.env(c_compiler(TARGET), "true");
    process::run(check.env(c_compiler(TARGET).replacen("CC", "AR", 1), "true"))
}

/// No path of this machine is in what is built: others get the same from the same sources.
fn flags(target: &str) -> Result<Vec<String>> {
    let cargo_home = process::cargo_home()?;
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={}=/cargo", cargo_home.display()),
        format!("--remap-path-prefix={}=/source", process::root().display()),
    ];
    if is_foreign(target) {
        // Rust's own linker and C library: nothing else for that machine must be here.
        flags.extend(["-Clinker=rust-lld", "-Clink-self-contained=yes"].map(str::to_owned));
    }
    Ok(flags)
}

/// The variable that names the C compiler for a target.
pub(crate) fn c_compiler(target: &str) -> String {
    format!("CC_{}", target.replace('-', "_"))
}

/// The C code of our dependencies needs no C library, so the host's compiler also works for musl.
/// Clang compiles for each machine.
fn c_compiler_for(target: &str) -> &'static str {
    if is_foreign(target) { "clang" } else { "cc" }
}

fn is_foreign(target: &str) -> bool {
    !target.starts_with(ARCH)
}
