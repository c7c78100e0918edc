//! Builds etcd, kube-apiserver, kubectl, and a program that elects a leader, from Go modules that
//! `xtask/kube/go.sum` pins.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use apiserver::cluster::Binaries;

use crate::{Result, process};

/// The version that the API server reports; `xtask/kube/go.mod` names the modules of this version.
const VERSION: (&str, &str, &str) = ("v1.36.3", "1", "36");

/// The binaries below `place`. They are built unless they exist and were made from these very
/// modules.
pub(super) fn binaries(place: &Path) -> Result<Binaries> {
    let _alone = super::alone()?;
    let modules = process::root().join("xtask/kube");
    let recipe = recipe(&modules)?;
    let made_from = place.join("bin/made-from");
    let bin = place.join("bin");
    let same = fs::read_to_string(&made_from).is_ok_and(|made_from| made_from == recipe);
    if let Some(binaries) = Binaries::in_directory(&bin).filter(|_| same) {
        return Ok(binaries);
    }
    check_go()?;
    eprintln!("building etcd, kube-apiserver and kubectl, once; it takes some minutes");
    // Ensures that the output of an interrupted build does not count as complete.
    let _ = fs::remove_file(&made_from);
    fs::create_dir_all(&bin)?;
    process::run(&mut servers(&modules, &bin))?;
    fs::rename(bin.join("server"), bin.join("etcd"))?;
    fs::write(&made_from, recipe)?;
    Binaries::in_directory(&bin).ok_or_else(|| format!("not all binaries are in {bin:?}").into())
}

/// The program in `xtask/kube/leader`.
pub(super) fn leader(place: &Path) -> Result<PathBuf> {
    program(place, "xtask/kube", "leader")
}

/// The program in `dev/soak/checker`.
pub(super) fn checker(place: &Path) -> Result<PathBuf> {
    program(place, "dev/soak", "checker")
}

/// A Go program, `main.go` in a directory of its name, below `place`. It is built unless it exists
/// and was made from these very sources. It uses its own modules, or those of its parent directory.
fn program(place: &Path, parent: &str, name: &str) -> Result<PathBuf> {
    let _alone = super::alone()?;
    let directory = process::root().join(parent).join(name);
    let source = fs::read_to_string(directory.join("main.go"))?;
    let own = directory.join("go.mod").exists();
    let modules = if own {
        directory.as_path()
    } else {
        directory.parent().unwrap_or(&directory)
    };
    let recipe = recipe(modules)? + &source;
    let (program, made_from) = (place.join(name), place.join(format!("{name}-made-from")));
    let same = fs::read_to_string(&made_from).is_ok_and(|made_from| made_from == recipe);
    if !(same && program.is_file()) {
        check_go()?;
        let mut go = go(&directory);
        process::run(go.args(["build", "-trimpath", "-o"]).arg(&program).arg("."))?;
        fs::write(&made_from, recipe)?;
    }
    Ok(program)
}

fn servers(modules: &Path, bin: &PathBuf) -> Command {
    let (whole, major, minor) = VERSION;
    let variable = "-X k8s.io/component-base/version.git";
    let mut go = go(modules);
    go.args(["build", "-trimpath", "-ldflags"])
        .arg(format!(
            "-s -w {variable}Version={whole} {variable}Major={major} {variable}Minor={minor}"
        ))
        .arg("-o")
        .arg(bin)
        .args([
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kubectl",
        ])
        // Its binary is called `server`.
        .arg("go.etcd.io/etcd/server/v3");
    go
}

/// Go, in the directory of the modules.
fn go(modules: &Path) -> Command {
    let mut go = Command::new("go");
    go.current_dir(modules)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off");
    if env::var_os("GOTOOLCHAIN").is_none() {
        // Some distributions turn it off: https://go.dev/doc/toolchain.
        go.env("GOTOOLCHAIN", "auto");
    }
    go
}

/// Everything that the binaries depend on, except the Go toolchain.
fn recipe(modules: &Path) -> Result<String> {
    let read = |name: &str| -> Result<String> {
        let path = modules.join(name);
        fs::read_to_string(&path).map_err(|error| format!("cannot read {path:?}: {error}").into())
    };
    Ok(read("go.mod")? + &read("go.sum")? + &format!("{VERSION:?}"))
}

/// Any Go since 1.21 fetches the version that go.mod requires.
pub(super) fn check_go() -> Result {
    const MISSING: &str = "the tests need a Kubernetes API server: install Go 1.21 or newer (https://go.dev/dl), \
        or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver and kubectl";
    let version = process::output(Command::new("go").args(["env", "GOVERSION"]));
    let version = version.map_err(|_| MISSING)?;
    if minor(&version) < 21 {
        return Err(format!("{} is too old; {MISSING}", version.trim()).into());
    }
    Ok(())
}

/// The 26 of `go1.26.8`.
fn minor(version: &str) -> u32 {
    let rest = version.trim().strip_prefix("go1.").unwrap_or_default();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    // A Go built from source is called `devel`: it counts as new.
    digits.parse().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::minor;

    #[test]
    fn go_versions_are_read() {
        assert_eq!(minor("go1.26.8\n"), 26);
        assert_eq!(minor("go1.19"), 19);
        assert_eq!(minor("go1.27rc1"), 27);
        assert_eq!(minor("devel go1.28-abcdef"), u32::MAX);
    }
}
