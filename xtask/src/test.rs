//! `cargo xtask test`: every test of the workspace.

use std::{env, fs, path::Path, process::Command};

use clap::Args;
use nix::unistd::geteuid;

use crate::{Result, kube, pages, process, soak::Soak};

/// Requirements of some tests, besides a cluster, that must be installed or granted. Such tests are
/// in a module named after the requirement and marked as ignored, so `cargo test` alone reports
/// them as ignored.
const NEEDS: [Need; 6] = [
    Need {
        module: "needs_root",
        what: "root",
        is_here: || geteuid().is_root(),
    },
    Need {
        module: "daemons",
        what: "root, and postgresql and nginx as Debian packages them",
        is_here: || {
            geteuid().is_root() && Path::new("/usr/sbin/nginx").exists() && has_postgresql()
        },
    },
    Need {
        module: "needs_postgresql",
        what: "root, and postgresql as Debian packages it",
        is_here: || geteuid().is_root() && has_postgresql(),
    },
    Need {
        module: "needs_strace",
        what: "strace, and the right to trace",
        is_here: can_trace,
    },
    Need {
        module: "client_go",
        what: "Go 1.21 or newer",
        is_here: kube::has_go,
    },
    Need {
        module: "needs_go",
        what: "Go 1.21 or newer",
        is_here: kube::has_go,
    },
];

struct Need {
    module: &'static str,
    what: &'static str,
    is_here: fn() -> bool,
}

/// Debian keeps the server's programs in a directory for each version.
fn has_postgresql() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions = versions.flatten().map(|version| version.path());
    versions.any(|version| version.join("bin/initdb").exists())
}

/// A container may have strace but not the right to trace.
fn can_trace() -> bool {
    let traced = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    traced.is_ok_and(|traced| traced.status.success())
}

#[derive(Args)]
pub(crate) struct Test {
    /// Start no Kubernetes API server: the tests that need one are reported as ignored
    #[arg(long)]
    no_cluster: bool,
    /// Passed on to `cargo test`, such as `-p lockpipes` or the name of a test
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENT"
    )]
    arguments: Vec<String>,
}

impl Test {
    /// All tests, with all features.
    pub(crate) fn everything() -> Self {
        Self {
            no_cluster: false,
            arguments: Vec::new(),
        }
    }

    pub(crate) fn run(&self) -> Result {
        let mut test = self.cargo_test();
        if self.no_cluster {
            return process::run(test.args(&self.arguments));
        }
        let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.is_here)()).collect();
        // Builds everything first, so that the cluster runs only during the tests.
        process::run(self.cargo_test().arg("--no-run").args(self.of_cargo()))?;
        let cluster = kube::of_tests()?;
        test.args(including_ignored(&self.arguments, &missing))
            .envs(cluster.environment());
        if self.tests("lockheed") && kube::has_go() {
            test.envs([kube::leader()?]);
        }
        let done = process::run(&mut test);
        for need in &missing {
            eprintln!("ignored: needs {}: the tests in {}", need.what, need.module);
        }
        if env::var_os("CI").is_some() && !missing.is_empty() {
            return Err("tests were ignored, and in CI all must run".into());
        }
        done?;
        // All tests were requested, and the tools are built.
        if self.arguments.is_empty() {
            pages::check(Some(&cluster.into()))?;
            if kube::has_go() {
                process::run(&mut Soak::short().command()?)?;
            } else {
                println!("left out, as it needs Go 1.21 or newer: cargo xtask soak");
            }
        }
        Ok(())
    }

    /// Tests all packages, unless some are named.
    fn cargo_test(&self) -> Command {
        let mut test = process::cargo_test();
        if !self.of_cargo().any(names_a_package) {
            test.arg("--workspace");
        }
        test
    }

    /// Whether this package is among the tested ones.
    fn tests(&self, package: &str) -> bool {
        let named = |argument: &String| argument.contains(package);
        !self.of_cargo().any(names_a_package) || self.of_cargo().any(named)
    }

    /// The arguments before `--`.
    fn of_cargo(&self) -> impl Iterator<Item = &String> {
        self.arguments
            .iter()
            .take_while(|argument| *argument != "--")
    }
}

fn names_a_package(argument: impl AsRef<str>) -> bool {
    let argument = argument.as_ref();
    argument.starts_with("-p") || argument.starts_with("--package")
}

/// Only tests that need something are marked as ignored. They run, except those whose needs are
/// missing.
fn including_ignored(arguments: &[String], missing: &[&Need]) -> Vec<String> {
    let mut all = arguments.to_vec();
    let end = all.iter().position(|argument| argument == "--");
    let end = end.unwrap_or_else(|| {
        all.push("--".to_owned());
        all.len() - 1
    });
    let skipped = missing.iter().flat_map(|need| ["--skip", need.module]);
    let added: Vec<_> = ["--include-ignored"].into_iter().chain(skipped).collect();
    all.splice(end + 1..end + 1, added.into_iter().map(str::to_owned));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_tests_are_included_beside_what_was_asked_for() {
        let with = |words: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            including_ignored(&words, &[]).join(" ")
        };
        assert_eq!(with(""), "-- --include-ignored");
        assert_eq!(with("-p sipid"), "-p sipid -- --include-ignored");
        assert_eq!(
            with("-p sipid -- --exact one"),
            "-p sipid -- --include-ignored --exact one"
        );
        let all = including_ignored(&[], &[&NEEDS[0]]).join(" ");
        assert_eq!(all, "-- --include-ignored --skip needs_root");
    }
}
