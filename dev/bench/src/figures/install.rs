//! How long a first build takes.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    Result, Setting,
    part::now,
    results::{Results, Row, Table, Unit},
};

const WHAT: &str =
    "From nothing but the sources and the downloaded crates, by cargo, on all processors.";

pub(super) fn measure(_: &Setting, results: &mut Results) -> Result {
    let mut table = Table::new("install", "Builds from nothing", WHAT, Unit::Nanoseconds);
    let install = "install --offline --locked --path";
    for (who, arguments, target) in [
        (
            "`cargo install --path lockpipes`",
            format!("{install} lockpipes"),
            15e9,
        ),
        (
            "`cargo install --path lockheed`",
            format!("{install} lockheed"),
            120e9,
        ),
        (
            "`cargo xtask demo`, with the demo itself",
            "xtask demo".to_owned(),
            90e9,
        ),
    ] {
        let took = build(&arguments)?;
        table
            .rows
            .push(Row::new(who.to_owned(), &[took], None, Some(target))?);
    }
    results.take(table);
    Ok(())
}

fn build(arguments: &str) -> Result<u64> {
    let directory = tempfile::tempdir()?;
    let mut cargo = Command::new("cargo");
    cargo.args(arguments.split(' '));
    if arguments.starts_with("install") {
        cargo.arg("--root").arg(directory.path().join("root"));
    }
    cargo
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .env("CARGO_TARGET_DIR", directory.path().join("target"))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let begun = now()?;
    let status = cargo.status()?;
    let took = now()? - begun;
    if !status.success() {
        return Err(format!("cargo {arguments} ended with {status}").into());
    }
    Ok(took)
}
