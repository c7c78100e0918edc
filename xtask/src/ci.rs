//! `cargo xtask ci`: what every change must pass.

use std::{fs, path::Path, process::Command, time::Instant};

use clap::ValueEnum;
use serde_json::Value;

use crate::{
    Result, bench, dist, kernels,
    process::{self, cargo},
    target,
    test::Test,
    tools::TOOLS,
};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Step {
    /// The code is formatted
    Fmt,
    /// Clippy finds nothing
    Clippy,
    /// The documentation builds without a warning
    Doc,
    /// Every test passes
    Test,
    /// No package in Cargo.lock needs a newer Rust than the manifest declares
    Msrv,
    /// Library users of lockpipes and sipid get no command line, no HTTP, and few crates
    Light,
    /// The binaries link statically and run in an empty root directory
    Static,
    /// No start of a static binary takes 3 % more instructions than recorded, if musl is installed
    Instructions,
    /// The parts of a release can be packed, and work as far as they can be tried here
    Dist,
    /// The tools that support macOS compile for it
    Macos,
    /// actionlint finds nothing wrong with the workflows
    Workflows,
    /// The tools' tests pass with musl, if that target is installed
    Musl,
    /// The process tools' scenarios pass on older kernels, if those can be fetched
    Kernels,
    /// `cargo deny` finds nothing wrong with licences, sources, duplicates and, if their database
    /// can be fetched, advisories
    Deny,
    /// Every published crate can be packaged, and built from its package
    Package,
}

pub(crate) fn run(steps: &[Step]) -> Result {
    let steps = if steps.is_empty() {
        Step::value_variants()
    } else {
        steps
    };
    steps.iter().try_for_each(|step| {
        let begun = Instant::now();
        step.run().map_err(|error| format!("{step:?}: {error}"))?;
        eprintln!("{step:?}: passed in {} s", begun.elapsed().as_secs());
        Ok(())
    })
}

impl Step {
    fn run(self) -> Result {
        match self {
            Self::Fmt => process::run(&mut cargo(["fmt", "--all", "--check"])),
            Self::Clippy => {
                let lint = [
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--all-features",
                    "--locked",
                ];
                process::run(cargo(lint).args(["--", "-D", "warnings"]))
            }
            Self::Doc => {
                let doc = [
                    "doc",
                    "--workspace",
                    "--no-deps",
                    "--all-features",
                    "--locked",
                ];
                process::run(cargo(doc).env("RUSTDOCFLAGS", "-D warnings"))
            }
            Self::Test => Test::everything().run(),
            Self::Msrv => msrv(),
            Self::Light => light(),
            Self::Static => static_binaries(),
            Self::Instructions => instructions(),
            Self::Dist => dist::pack_and_check(),
            Self::Macos => target::check_macos(),
            Self::Workflows => workflows(),
            Self::Musl => musl(),
            Self::Kernels => kernels::for_ci(),
            Self::Deny => deny(),
            Self::Package => package(),
        }
    }
}

/// Clippy's `incompatible_msrv` checks our own code. This checks the dependencies.
fn msrv() -> Result {
    let metadata = metadata()?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo metadata lists no packages")?;
    let needs = |package: &Value| package["rust_version"].as_str().map(version);
    let own = |package: &Value| package["source"].is_null();
    let declared = packages
        .iter()
        .filter(|package| own(package))
        .map(needs)
        .min()
        .flatten();
    let declared = declared.ok_or("a crate of the workspace declares no rust-version")?;
    let newer = packages
        .iter()
        .filter(|package| needs(package).is_some_and(|needed| needed > declared));
    let newer: Vec<&str> = newer
        .filter_map(|package| package["name"].as_str())
        .collect();
    eprintln!(
        "rust-version {declared:?}: {} packages looked at",
        packages.len()
    );
    if newer.is_empty() {
        Ok(())
    } else {
        Err(format!("newer than {declared:?}: {}", newer.join(", ")).into())
    }
}

/// `1.89` and `1.89.0` are equal: missing parts are zero.
fn version(text: &str) -> Vec<u32> {
    let mut parts: Vec<u32> = text
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect();
    parts.resize(3, 0);
    parts
}

fn light() -> Result {
    const MOST: usize = 40;
    let binary = crates_of("lockpipes", &[])?;
    if binary.len() > MOST {
        let all = binary.join(" ");
        return Err(format!("lockpipes needs more than {MOST} crates: {all}").into());
    }
    check_library("lockpipes", binary.len())?;
    check_library("sipid", binary.len())
}

/// Checks that a library user gets no command line, no HTTP, no TLS, and at most `most` crates.
fn check_library(package: &str, most: usize) -> Result {
    const HEAVY: [&str; 4] = ["clap", "env_logger", "http", "rustls"];
    let library = crates_of(package, &["--no-default-features"])?;
    eprintln!(
        "{package}: {} crates for the library, of {most} at most",
        library.len()
    );
    let heavy = library.iter().find(|name| HEAVY.contains(&name.as_str()));
    if let Some(heavy) = heavy {
        return Err(format!("the library of {package} pulls in {heavy}").into());
    }
    if library.len() > most {
        let all = library.join(" ");
        return Err(
            format!("the library of {package} needs more than {most} crates: {all}").into(),
        );
    }
    let check = [
        "check",
        "--package",
        package,
        "--no-default-features",
        "--locked",
    ];
    process::run(&mut cargo(check))
}

/// The names of the crates that a package is built from, including its own.
fn crates_of(package: &str, more: &[&str]) -> Result<Vec<String>> {
    let tree = [
        "tree",
        "--package",
        package,
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--locked",
    ];
    let text = process::output(cargo(tree).args(more))?;
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| line.split(' ').next().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Links glibc statically, and musl if that target is installed.
fn static_binaries() -> Result {
    let targets = [Some(target::host()?), target::installed_musl()?];
    for target in targets.into_iter().flatten() {
        let release = target::build_static(&target, &TOOLS)?;
        for tool in TOOLS {
            run_in_empty_root(&release.join(tool.binary), tool.alone)?;
        }
    }
    Ok(())
}

fn instructions() -> Result {
    if target::installed_musl()?.is_none() {
        eprintln!("the musl target is not installed (rustup target add): no instructions counted");
        return Ok(());
    }
    bench::instructions(false)
}

fn workflows() -> Result {
    const ACTIONLINT: &str = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12";
    let mut lint = Command::new("go");
    lint.args(["run", ACTIONLINT]).current_dir(process::root());
    process::run(lint.env("GOTOOLCHAIN", "auto"))
}

fn musl() -> Result {
    let Some(target) = target::installed_musl()? else {
        eprintln!(
            "the musl target is not installed (rustup target add): nothing was tested with it"
        );
        return Ok(());
    };
    process::run(
        process::cargo_test()
            .args(["--workspace", "--target", &target])
            // These run on the build machine, not where the tools run.
            .args([
                "--exclude",
                "xtask",
                "--exclude",
                "sim",
                "--exclude",
                "explore",
                "--exclude",
                "fuzz",
                "--exclude",
                "soak",
                "--exclude",
                "bench",
            ])
            .env(target::c_compiler(&target), "cc"),
    )
}

/// Runs the binary as a `FROM scratch` image does: nothing else is there.
fn run_in_empty_root(binary: &Path, arguments: &[&str]) -> Result {
    let root = tempfile::tempdir()?;
    fs::copy(binary, root.path().join("tool"))?;
    process::run_in_root(root.path(), "/tool", arguments)
}

fn deny() -> Result {
    let deny = |arguments: &[&str]| {
        let mut deny = cargo(["deny", "--locked"]);
        deny.args(arguments);
        deny
    };
    if process::output(&mut deny(&["--version"])).is_err() {
        return Err("cargo deny is missing: cargo install --locked cargo-deny".into());
    }
    let check = ["check", "--hide-inclusion-graph"];
    process::run(deny(&check).args(["licenses", "bans", "sources"]))?;
    // A machine that reaches the registry may not reach the advisory database.
    let mut fetch = deny(&["fetch", "db"]);
    fetch.env("GIT_HTTP_LOW_SPEED_LIMIT", "1000");
    if let Err(error) = process::output(fetch.env("GIT_HTTP_LOW_SPEED_TIME", "30")) {
        eprintln!(
            "LEFT OUT: no advisories and no yanked versions were looked for, as the database cannot be fetched: {error}"
        );
        return Ok(());
    }
    process::run(deny(&check).arg("advisories"))
}

fn package() -> Result {
    let mut all = cargo(["package", "--locked", "--allow-dirty"]);
    for package in published()? {
        let list = [
            "package",
            "--list",
            "--locked",
            "--allow-dirty",
            "-p",
            &package,
        ];
        let files = process::output(&mut cargo(list))?;
        let build = process::root().join(&package).join("build.rs");
        let build = build.exists().then_some("build.rs");
        for needed in ["LICENSE-APACHE", "LICENSE-MIT", "README.md"]
            .into_iter()
            .chain(build)
        {
            if !files.lines().any(|file| file == needed) {
                return Err(format!("the package {package} has no {needed}").into());
            }
        }
        all.args(["-p", &package]);
    }
    forget_unpacked()?;
    process::run(&mut all)
}

/// The packages that may be published.
fn published() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    // For a package with `publish = false` this is an empty list.
    let published = packages.filter(|it| it["source"].is_null() && it["publish"].is_null());
    let names = published.filter_map(|it| it["name"].as_str().map(str::to_owned));
    Ok(names.collect())
}

/// Removes unpacked sources of our own packages. Cargo hands the new packages to each other as a
/// local registry, and unpacks each version of a crate only once, below its home. If an earlier run
/// has done so, this run would build with the old sources.
fn forget_unpacked() -> Result {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let own: Vec<String> = packages
        .filter(|package| package["source"].is_null())
        .filter_map(|package| {
            let (name, version) = (&package["name"], &package["version"]);
            Some(format!("{}-{}", name.as_str()?, version.as_str()?))
        })
        .collect();
    let Ok(registries) = fs::read_dir(process::cargo_home()?.join("registry/src")) else {
        return Ok(()); // nothing was ever unpacked
    };
    for registry in registries {
        let registry = registry?;
        // The other registries' names begin with a host.
        if registry.file_name().as_encoded_bytes().starts_with(b"-") {
            for unpacked in own.iter().map(|name| registry.path().join(name)) {
                if unpacked.exists() {
                    fs::remove_dir_all(unpacked)?;
                }
            }
        }
    }
    Ok(())
}

fn metadata() -> Result<Value> {
    let text = process::output(&mut cargo([
        "metadata",
        "--format-version",
        "1",
        "--locked",
    ]))?;
    Ok(serde_json::from_str(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version("1.89"), version("1.89.0"));
        assert!(version("1.100") > version("1.89.1"));
    }
}
