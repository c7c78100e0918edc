//! `cargo xtask promises`: writes the READMEs' promises and the tests that hold them into a table
//! in RELIABILITY.md.
//!
//! A promise is an item of a list under "Guarantees", with an anchor that is its name: `<a
//! id="lockheed-3"></a>`. A test says in a line above it which promises would be broken if it
//! failed: `// Holds lockheed-3, lockheed-5.`

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use crate::{Result, process};

const PAGE: &str = "RELIABILITY.md";
const BEGIN: &str = "<!-- made by `cargo xtask promises` -->\n";
const END: &str = "<!-- end -->\n";

/// Something that a README promises.
#[derive(Debug)]
struct Promise {
    /// Such as `lockheed-3`.
    name: String,
    /// The crate whose README contains it.
    of: String,
    /// Its first sentence.
    text: String,
}

/// A test, and the promises that it holds.
#[derive(Debug)]
struct Test {
    /// The path from the workspace's root.
    file: String,
    name: String,
    holds: Vec<String>,
}

/// Writes the table anew.
pub(crate) fn run() -> Result {
    let root = process::root();
    let page = fs::read_to_string(root.join(PAGE))?;
    fs::write(root.join(PAGE), with_table(&page, &table(root)?)?)?;
    Ok(())
}

/// The promises by crate, each with its tests.
fn table(root: &Path) -> Result<String> {
    let (promises, tests) = (promises(root)?, tests(root)?);
    let mut by_name: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
    for test in &tests {
        for name in &test.holds {
            if !promises.iter().any(|promise| promise.name == *name) {
                let (file, test) = (&test.file, &test.name);
                return Err(
                    format!("{file}: {test} holds {name}, which no README promises").into(),
                );
            }
            by_name.entry(name).or_default().push(test);
        }
    }
    let mut text = String::new();
    let mut last = "";
    for promise in &promises {
        let Promise {
            name,
            of,
            text: what,
        } = promise;
        let Some(tests) = by_name.get(name.as_str()) else {
            return Err(format!("{of}/README.md: no test holds {name}: {what}").into());
        };
        if of != last {
            write!(text, "\n### {of}\n\n| | promise | tests |\n|---|---|---|\n")?;
        }
        last = of;
        let links = tests
            .iter()
            .map(|test| format!("[`{}`]({})", test.name, test.file));
        let links = links.collect::<Vec<_>>().join("<br>");
        writeln!(
            text,
            "| [{name}]({of}/README.md#{name}) | {what} | {links} |"
        )?;
    }
    write!(
        text,
        "\n{} promises, {} tests that name one.\n",
        promises.len(),
        tests.len()
    )?;
    Ok(text)
}

fn with_table(page: &str, table: &str) -> Result<String> {
    let parts = page
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{PAGE} has no place for the table"))?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// The promises of all READMEs, in the order of the crates.
fn promises(root: &Path) -> Result<Vec<Promise>> {
    let mut all = Vec::new();
    let mut crates: Vec<_> = fs::read_dir(root)?.collect::<std::io::Result<_>>()?;
    crates.sort_by_key(fs::DirEntry::file_name);
    for path in crates.into_iter().map(|entry| entry.path()) {
        let Ok(readme) = fs::read_to_string(path.join("README.md")) else {
            continue;
        };
        let of = path.file_name().unwrap_or_default().to_string_lossy();
        for (number, part) in (1..).zip(readme.split("<a id=\"").skip(1)) {
            let (name, rest) = part
                .split_once("\"></a>")
                .ok_or("an anchor without an end")?;
            if name != format!("{of}-{number}") {
                return Err(format!("{of}/README.md: {name} where {of}-{number} should be").into());
            }
            all.push(Promise {
                name: name.to_owned(),
                of: of.clone().into_owned(),
                text: first_sentence(rest),
            });
        }
    }
    Ok(all)
}

/// The first sentence on one line, without links, whose targets are relative to the README.
fn first_sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let ends = [". ", ": ", " - "].map(|end| text.find(end));
    let end = ends.into_iter().flatten().min().unwrap_or(text.len());
    let text = text[..end].trim_end_matches('.');
    text.replace('|', "\\|").replace(['[', ']'], "")
}

/// The tests that name a promise, by file and then from the top.
fn tests(root: &Path) -> Result<Vec<Test>> {
    let mut files = Vec::new();
    sources(root, &mut files)?;
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let file = path.strip_prefix(root)?.to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        let mut lines = text.lines().map(str::trim_start);
        while let Some(line) = lines.next() {
            let Some(holds) = line.strip_prefix("// Holds ") else {
                continue;
            };
            let mut is_test = false;
            let function = lines.find_map(|line| {
                is_test |= line.starts_with("#[") && line.contains("test");
                let name = line
                    .strip_prefix("async ")
                    .unwrap_or(line)
                    .strip_prefix("fn ")?;
                name.split(['(', '<']).next()
            });
            let Some(name) = function.filter(|_| is_test) else {
                return Err(format!("{file}: {line:?} is above no test").into());
            };
            all.push(Test {
                file: file.clone(),
                name: name.to_owned(),
                holds: holds
                    .trim_end_matches('.')
                    .split(", ")
                    .map(str::to_owned)
                    .collect(),
            });
        }
    }
    Ok(all)
}

/// All Rust files below a directory, except build output.
fn sources(directory: &Path, into: &mut Vec<PathBuf>) -> Result {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() && !is_hidden && path != process::target() {
            sources(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promise_is_held_by_a_test_and_the_page_says_so() {
        let root = process::root();
        let table = table(root).unwrap();
        let page = fs::read_to_string(root.join(PAGE)).unwrap();
        let is_current = with_table(&page, &table).unwrap() == page;
        assert!(is_current, "`cargo xtask promises` makes {PAGE} anew");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let fails = || table(root.path()).unwrap_err().to_string();
        write(
            "a/README.md",
            "- <a id=\"a-1\"></a>It [works](x): always.\n",
        );
        assert_eq!(fails(), "a/README.md: no test holds a-1: It works(x)");
        write(
            "a/tests/it.rs",
            "// Holds a-1, a-2.\n#[test]\nfn it_works() {}\n",
        );
        assert_eq!(
            fails(),
            "a/tests/it.rs: it_works holds a-2, which no README promises"
        );
        write("a/tests/it.rs", "// Holds a-1.\nfn it_works() {}\n");
        assert_eq!(fails(), "a/tests/it.rs: \"// Holds a-1.\" is above no test");
        write(
            "a/tests/it.rs",
            "// Holds a-1.\n#[tokio::test]\nasync fn it_works() {}\n",
        );
        let row = "| [a-1](a/README.md#a-1) | It works(x) | [`it_works`](a/tests/it.rs) |";
        let table = table(root.path()).unwrap();
        assert!(table.contains(row), "{table}");
        write("a/README.md", "- <a id=\"a-2\"></a>It works.\n");
        assert_eq!(fails(), "a/README.md: a-2 where a-1 should be");
    }
}
