//! Rules for a tool's help, and what is made from it: manual pages, and completions for bash, zsh
//! and fish. They are committed in `man` and `completions` of the tool's crate. The crate's tests
//! compare them, and `cargo xtask dist docs` runs the same tests to write them anew.
//!
//! [`schema`] checks the JSON that a tool prints.

mod help;
mod pages;
pub mod schema;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use coord_core::cli::Tool;

/// This variable is set when the pages are to be written.
const WRITE: &str = "COORD_WRITE_DOCS";

/// Checks the help of the tool whose crate is in this directory, and what is made from the help.
///
/// # Panics
/// When the help breaks a rule, or what is made from it differs from what is committed.
pub fn check<T: Tool>(directory: &str) {
    help::check::<T>();
    let made = pages::made::<T>();
    for place in ["man", "completions"] {
        let place = Path::new(directory).join(place);
        let made = made
            .iter()
            .map(|(path, text)| (place.parent().unwrap_or(&place).join(path), text));
        let made: BTreeMap<_, _> = made.filter(|(path, _)| path.starts_with(&place)).collect();
        if env::var_os(WRITE).is_some() {
            write(&place, &made);
        }
        let committed = committed(&place);
        let differs = |path: &&PathBuf| made.get(*path).copied() != committed.get(*path);
        let differing: Vec<_> = made
            .keys()
            .chain(committed.keys())
            .filter(differs)
            .collect();
        assert!(
            differing.is_empty(),
            "not as they are made, which `cargo xtask dist docs` does: {differing:?}"
        );
    }
}

fn write(place: &Path, made: &BTreeMap<PathBuf, &String>) {
    if place.exists() {
        fs::remove_dir_all(place).expect("the old ones cannot be removed");
    }
    fs::create_dir_all(place).expect("no directory can be made");
    for (path, text) in made {
        fs::write(path, text).expect("a page cannot be written");
    }
}

fn committed(place: &Path) -> BTreeMap<PathBuf, String> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_default();
        (path, text)
    };
    entries.map(|entry| read(entry.path())).collect()
}
