//! `cargo xtask fuzz`: checks what must hold for all bytes that others can write.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Args;

use crate::{Result, process};

/// A package outside of the workspace, so that nothing else is built with libFuzzer.
const LIBFUZZER: &str = "dev/fuzz/libfuzzer";

#[derive(Args)]
pub(crate) struct Fuzz {
    /// Only these targets; --list shows all
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How many minutes to spend on each target
    #[arg(long, value_name = "M", default_value_t = 2.0)]
    minutes: f64,
    /// List the targets
    #[arg(long, conflicts_with_all = ["targets", "minutes"])]
    list: bool,
}

impl Fuzz {
    pub(crate) fn run(&self) -> Result {
        let all = process::output(&mut stable(&["--list"]))?;
        if self.list {
            print!("{all}");
            return Ok(());
        }
        let unknown = |name: &&String| !all.lines().any(|known| known == *name);
        if let Some(name) = self.targets.iter().find(unknown) {
            return Err(format!("there is no target {name:?}: see cargo xtask fuzz --list").into());
        }
        if !(0.0..=1e6).contains(&self.minutes) {
            return Err("--minutes must be a positive number, such as 0.5".into());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was looked at"
        )]
        let seconds = (self.minutes * 60.0).ceil() as u64;
        let wanted =
            |name: &&str| self.targets.is_empty() || self.targets.iter().any(|it| it == name);
        let mut targets = all.lines().filter(wanted);
        if has_libfuzzer() {
            let corpus = corpus()?;
            targets.try_for_each(|target| by_libfuzzer(target, &corpus, seconds))
        } else {
            eprintln!(
                "cargo fuzz is not installed (cargo install cargo-fuzz): the inputs are made without looking at what they reach"
            );
            let run =
                |target| process::run(&mut stable(&["--seconds", &seconds.to_string(), target]));
            targets.try_for_each(run)
        }
    }
}

fn has_libfuzzer() -> bool {
    let mut version = process::cargo(["fuzz", "--version"]);
    let version = version.stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// The driver for the stable compiler, which needs nothing else.
fn stable(arguments: &[&str]) -> Command {
    let run = ["run", "--quiet", "--locked", "--package", "fuzz", "--"];
    let mut cargo = process::cargo(run);
    cargo.args(arguments);
    cargo
}

/// The directory where libFuzzer keeps inputs that reach new code. It begins with the committed
/// ones, and continues with those that it found before.
fn corpus() -> Result<PathBuf> {
    let corpus = process::target().join("fuzz/corpus");
    process::run(stable(&["--corpus"]).arg(&corpus))?;
    // All dependencies have the workspace's versions, plus those that libFuzzer needs.
    let lock = Path::new(LIBFUZZER).join("Cargo.lock");
    fs::copy(
        process::root().join("Cargo.lock"),
        process::root().join(lock),
    )?;
    Ok(corpus)
}

/// Without a sanitizer: the parsers are safe Rust, and this way it runs on every compiler.
fn by_libfuzzer(target: &str, corpus: &Path, seconds: u64) -> Result {
    let run = [
        "fuzz",
        "run",
        "--fuzz-dir",
        LIBFUZZER,
        "--sanitizer",
        "none",
        "target",
    ];
    let found = process::target().join("fuzz/found").join(target);
    fs::create_dir_all(&found)?;
    process::run(
        process::cargo(run)
            .env("FUZZ_TARGET", target)
            .env("CARGO_TARGET_DIR", process::target().join("fuzz"))
            .arg(corpus.join(target))
            .arg("--")
            .args([
                format!("-max_total_time={seconds}"),
                format!("-artifact_prefix={}/", found.display()),
            ])
            .args(["-max_len=4096", "-timeout=30", "-print_final_stats=1"]),
    )
}
