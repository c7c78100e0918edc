//! `cargo xtask test`: every test of the workspace.

use clap::Args;

use crate::{Result, process};

#[derive(Args)]
pub(crate) struct Test {
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
            arguments: Vec::new(),
        }
    }

    pub(crate) fn run(&self) -> Result {
        let workspace = ["test", "--workspace", "--all-features", "--locked"];
        process::run(process::cargo(workspace).args(&self.arguments))
    }
}
