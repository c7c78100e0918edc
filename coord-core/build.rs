//! Links the unwinder of the binaries statically, where the C compiler has it so.
//!
//! Rust's standard library needs GCC's unwinder for panics, and with glibc takes it from
//! `libgcc_s.so.1`. Loading that file takes a fifth of the time of `/bin/true`, and images such as
//! distroless/base do not have it.

use std::{env, path::Path, process::Command};

const UNWINDER: &str = "libgcc_eh.a";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let set = |name: &str| env::var(name).unwrap_or_default();
    // A library's user decides that for themselves.
    let for_binaries = env::var_os("CARGO_FEATURE_CLI").is_some();
    let with_glibc = set("CARGO_CFG_TARGET_OS") == "linux" && set("CARGO_CFG_TARGET_ENV") == "gnu";
    if for_binaries && with_glibc && linker_has(UNWINDER) {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// GCC and Clang print a library's whole path if they know it, and else the bare name. Other
/// linkers do not know the option.
fn linker_has(library: &str) -> bool {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or("cc".into());
    let output = Command::new(linker)
        .arg(format!("-print-file-name={library}"))
        .output();
    output.is_ok_and(|output| {
        let path = String::from_utf8_lossy(&output.stdout);
        Path::new(path.trim()).is_absolute()
    })
}
