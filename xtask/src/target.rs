//! Targets for static linking.

use std::{
    env::consts::ARCH,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Result, process, tools::Tool};

/// How much a build is optimised.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Effort {
    /// As for users.
    Release,
    /// Only to check that it links and runs, since optimising takes minutes.
    Quick,
}

pub(crate) fn host() -> Result<String> {
    let rustc = process::output(Command::new("rustc").args(["--version", "--verbose"]))?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc names no host")?.to_owned())
}

/// The host's architecture with musl, if that is installed.
pub(crate) fn installed_musl() -> Result<Option<String>> {
    let musl = host()?.replace("-gnu", "-musl");
    Ok(is_installed(&musl)?.then_some(musl))
}

pub(crate) fn is_installed(target: &str) -> Result<bool> {
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib").join(target);
    Ok(library.join("lib").is_dir())
}

/// musl if it is installed, otherwise the host's own target.
pub(crate) fn smallest() -> Result<String> {
    installed_musl()?.map_or_else(host, Ok)
}

/// Builds these tools so that they need no file at run time. Optimises fully for the target that
/// images and packages are made of. Returns the directory.
pub(crate) fn build_static(target: &str, tools: &[Tool]) -> Result<PathBuf> {
    let effort = if target == smallest()? {
        Effort::Release
    } else {
        Effort::Quick
    };
    build(target, tools, effort)
}

/// The same with this effort. For the target of images, it also builds what those need besides, so
/// that everything is built once.
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

/// Checks that the tools for macOS compile for it. It links nothing, so it need not compile the C
/// code of our dependencies, which would need a Mac.
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

/// Keeps paths of this machine out of the binaries, so that others get the same from the same
/// sources.
fn flags(target: &str) -> Result<Vec<String>> {
    let cargo_home = process::cargo_home()?;
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={}=/cargo", cargo_home.display()),
        format!("--remap-path-prefix={}=/source", process::root().display()),
    ];
    if is_foreign(target) {
        // Rust's own linker and C library: nothing else for that machine is needed here.
        flags.extend(["-Clinker=rust-lld", "-Clink-self-contained=yes"].map(str::to_owned));
    }
    Ok(flags)
}

/// The variable that names the C compiler for a target.
pub(crate) fn c_compiler(target: &str) -> String {
    format!("CC_{}", target.replace('-', "_"))
}

/// The C compiler. The C code of our dependencies needs no C library, so the host's compiler also
/// works for musl. Clang compiles for every machine.
fn c_compiler_for(target: &str) -> &'static str {
    if is_foreign(target) { "clang" } else { "cc" }
}

fn is_foreign(target: &str) -> bool {
    !target.starts_with(ARCH)
}
