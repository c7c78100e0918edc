//! `cargo xtask dist`: what a release is made of.

use clap::Subcommand;

use crate::{
    Result,
    process::{self, cargo},
    tools::TOOLS,
};

#[derive(Subcommand)]
pub(crate) enum Dist {
    /// Write the manual pages and completions anew, from what the tools' help says
    Docs,
}

impl Dist {
    pub(crate) fn run(&self) -> Result {
        match self {
            Self::Docs => docs(),
        }
    }
}

/// The tests that compare them write them, too: what is tested and what is written cannot differ.
fn docs() -> Result {
    let mut test = cargo(["test", "--all-features", "--locked", "--quiet"]);
    for tool in TOOLS {
        test.args(tool.build());
    }
    let only = ["--", "pages_made_from_it_are_current"];
    process::run(test.args(only).env("COORD_WRITE_DOCS", "1"))
}
