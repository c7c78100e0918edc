//! Counts instructions with callgrind. They do not depend on the machine's other load.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::{
    Result, Setting,
    programs::Build,
    results::{Results, Row, Spread, Table, Unit, float},
};

const WHAT: &str = "Instructions of a whole process, counted by callgrind. `true` does nothing.";

/// The largest accepted ratio to the recorded count.
const TOLERATED: f64 = 1.03;

/// A command to start, and its target for a dynamic build: half the instructions of the first
/// measured version.
struct Case {
    name: &'static str,
    binary: &'static str,
    arguments: Vec<String>,
    target: Option<u64>,
}

/// The commands, for a directory.
fn cases(place: &Path) -> Result<Vec<Case>> {
    let shown = |name: &str| place.join(name).display().to_string();
    if !place.join("pipe").exists() {
        nix::unistd::mkfifo(&place.join("pipe"), nix::sys::stat::Mode::S_IRWXU)?;
        fs::create_dir(place.join("exit"))?;
        fs::create_dir(place.join("locks"))?;
        fs::write(place.join("a.pid"), format!("{}\n", std::process::id()))?;
    }
    let case = |name, binary, target: Option<u64>, arguments: &[&str]| Case {
        name,
        binary,
        arguments: arguments.iter().map(ToString::to_string).collect(),
        target,
    };
    let store = format!("dir:{}", shown("locks"));
    Ok(vec![
        case(
            "lockpipe exists",
            "lockpipe",
            Some(311_500),
            &["--path", &shown("pipe"), "exists"],
        ),
        case(
            "exitdir status",
            "exitdir",
            Some(450_500),
            &["--dir", &shown("exit"), "status"],
        ),
        case(
            "sipid status",
            "sipid",
            Some(407_500),
            &["status", "--pid-file", &shown("a.pid")],
        ),
        case(
            "lockheed --version",
            "lockheed",
            Some(722_500),
            &["--version"],
        ),
        case(
            "lockheed list",
            "lockheed",
            None,
            &["--store", &store, "list"],
        ),
        case(
            "lockheed run",
            "lockheed",
            None,
            &["--store", &store, "run", "x", "--", "true"],
        ),
        case("cmlock --version", "cmlock", Some(533_000), &["--version"]),
    ])
}

pub(super) fn measure(setting: &Setting, results: &mut Results) -> Result {
    let directory = tempfile::tempdir()?;
    let mut table = Table::new("instructions", "Instructions of a start", WHAT, Unit::Count);
    let base = count(Path::new("/bin/true"), &[])?;
    table
        .rows
        .push(Row::new("`true`".to_owned(), &[base], None, None)?);
    for case in cases(directory.path())? {
        for build in setting.builds() {
            let counted = count(&build.path(case.binary), &case.arguments)?;
            let who = build.who(&format!("`{}`", case.name));
            let to_base = |count: u64| float(count) / float(base);
            // The targets are for a dynamic build.
            let target = case.target.filter(|_| build.name == "dynamic").map(to_base);
            let mut row = Row::new(who, &[counted], None, target)?;
            let ratio = to_base(counted);
            row.ratio = Some(Spread {
                median: ratio,
                lowest: ratio,
                highest: ratio,
            });
            table.rows.push(row);
        }
    }
    results.take(table);
    Ok(())
}

/// Recorded counts, with the compiler whose code was counted.
#[derive(Serialize, Deserialize)]
struct Counts {
    compiler: String,
    instructions: BTreeMap<String, u64>,
}

/// Compares a static build's counts with the recorded ones, or records them.
pub(crate) fn check(build: &Build, file: &Path, write: bool) -> Result {
    let now = counts(build)?;
    if write {
        return Ok(fs::write(file, serde_json::to_string_pretty(&now)? + "\n")?);
    }
    compare(&now, &serde_json::from_str(&fs::read_to_string(file)?)?)
}

fn compare(now: &Counts, before: &Counts) -> Result {
    let mut wrong = Vec::new();
    for (name, count) in &now.instructions {
        let Some(known) = before.instructions.get(name) else {
            wrong.push(format!("{name} is not written down"));
            continue;
        };
        let ratio = float(*count) / float(*known);
        eprintln!(
            "{name}: {count} instructions, {:+.1} %",
            (ratio - 1.0) * 100.0
        );
        if ratio > TOLERATED {
            wrong.push(format!("{name}: {count} instructions, {known} before"));
        }
    }
    let gone = before
        .instructions
        .keys()
        .filter(|it| !now.instructions.contains_key(*it));
    wrong.extend(gone.map(|name| format!("{name} is written down, and not counted any more")));
    if wrong.is_empty() {
        return Ok(());
    }
    let (compiler, other) = (&now.compiler, &before.compiler);
    let other = if compiler == other {
        String::new()
    } else {
        format!("; that was {other}, and this is {compiler}")
    };
    let wrong = wrong.join("; ");
    let mend = "make it cheaper, or say in the commit what is worth that, and run `cargo xtask bench instructions --write`";
    Err(format!("{wrong}{other}: {mend}").into())
}

fn counts(build: &Build) -> Result<Counts> {
    let directory = tempfile::tempdir()?;
    let compiler = Command::new("rustc").arg("--version").output()?.stdout;
    let mut instructions = BTreeMap::new();
    // Without `run`: how often its threads check each other varies from run to run.
    let cases = cases(directory.path())?.into_iter();
    for case in cases.filter(|case| case.name != "lockheed run") {
        let counted = count(&build.path(case.binary), &case.arguments)?;
        instructions.insert(case.name.to_owned(), counted);
    }
    instructions.insert("one hand-off on the engine".to_owned(), hand_off()?);
    Ok(Counts {
        compiler: String::from_utf8(compiler)?.trim().to_owned(),
        instructions,
    })
}

/// Counts one hand-off in this program as it was built, which may be without optimisation.
fn hand_off() -> Result<u64> {
    let program = std::env::current_exe()?;
    let of = |hand_offs: u64| count(&program, &["engine".to_owned(), hand_offs.to_string()]);
    let (many, few) = (of(120)?, of(20)?);
    let more = many.checked_sub(few).filter(|more| *more > 100);
    Ok(more.ok_or("more hand-offs take no more instructions")? / 100)
}

/// The instructions of a process, without those of its children.
fn count(program: &Path, arguments: &[String]) -> Result<u64> {
    let out = tempfile::NamedTempFile::new()?;
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind");
    valgrind.arg(format!("--callgrind-out-file={}", out.path().display()));
    // As few environment variables as possible, since programs read each of them.
    valgrind.arg(program).args(arguments).env_clear();
    valgrind
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let output = valgrind.output();
    let output = output.map_err(|error| format!("valgrind is needed: {error}"))?;
    // `exitdir status` exits with 1 for "no".
    if output.status.code().is_none_or(|code| code > 1) {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{program:?} failed: {said}").into());
    }
    let profile = fs::read_to_string(out.path())?;
    let totals = profile.lines().rev().find_map(|line| {
        let totals = line
            .strip_prefix("totals: ")
            .or_else(|| line.strip_prefix("summary: "))?;
        totals.trim().parse().ok()
    });
    totals.ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("callgrind counted nothing in {program:?}: {said}").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(count: u64) -> Counts {
        Counts {
            compiler: "rustc".to_owned(),
            instructions: [("a start".to_owned(), count)].into(),
        }
    }

    #[test]
    fn three_in_a_hundred_more_are_tolerated_and_no_more() {
        compare(&counts(1_030), &counts(1_000)).unwrap();
        compare(&counts(500), &counts(1_000)).unwrap();
        let error = compare(&counts(1_031), &counts(1_000)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("a start: 1031 instructions, 1000 before: make")
        );
        let none = Counts {
            instructions: BTreeMap::new(),
            ..counts(0)
        };
        let error = compare(&none, &counts(1)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("a start is written down, and not counted any more")
        );
        let error = compare(&counts(1), &none).unwrap_err();
        assert!(error.to_string().starts_with("a start is not written down"));
    }

    #[test]
    fn a_count_is_of_the_process_and_is_the_same_each_time() {
        let count = || super::count(Path::new("/bin/true"), &[]).unwrap();
        let first = count();
        assert!(first > 10_000, "{first}");
        assert!(count().abs_diff(first) * 100 < first);
    }
}
