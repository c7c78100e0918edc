//! `cargo xtask test`: every test of the workspace.

use std::process::Command;

use clap::Args;

use crate::{Result, kube, process};

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
    /// Every test there is: all features.
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
        // Whatever is needed is built first: the cluster is there for the tests alone.
        process::run(self.cargo_test().arg("--no-run").args(self.of_cargo()))?;
        let cluster = kube::of_tests()?;
        test.args(including_ignored(&self.arguments))
            .envs(cluster.environment());
        process::run(&mut test)
    }

    /// With every package, unless some are named.
    fn cargo_test(&self) -> Command {
        let mut test = process::cargo_test();
        let names =
            |argument: &String| argument.starts_with("-p") || argument.starts_with("--package");
        if !self.of_cargo().any(names) {
            test.arg("--workspace");
        }
        test
    }

    /// The arguments before `--`.
    fn of_cargo(&self) -> impl Iterator<Item = &String> {
        self.arguments
            .iter()
            .take_while(|argument| *argument != "--")
    }
}

/// The tests that need a cluster, and only those, are marked as ignored.
fn including_ignored(arguments: &[String]) -> Vec<String> {
    let mut all = arguments.to_vec();
    let end = all.iter().position(|argument| argument == "--");
    let end = end.unwrap_or_else(|| {
        all.push("--".to_owned());
        all.len() - 1
    });
    all.insert(end + 1, "--include-ignored".to_owned());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_tests_are_included_beside_what_was_asked_for() {
        let with = |words: &str| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            including_ignored(&words).join(" ")
        };
        assert_eq!(with(""), "-- --include-ignored");
        assert_eq!(with("-p sipid"), "-p sipid -- --include-ignored");
        assert_eq!(
            with("-p sipid -- --exact one"),
            "-p sipid -- --include-ignored --exact one"
        );
    }
}
