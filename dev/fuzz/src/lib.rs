//! Promises about bytes that others write: files, answers, objects, arguments.
//!
//! A [`Target`] is one function that is given bytes and panics when a promise does not hold for
//! them. It calls what the crates make public, as their users do. Two drivers call it: [`play`] on
//! any compiler, with the corpus and what comes of it by edits, and libFuzzer.

mod cluster;
mod exits;
mod kubeconfig;
mod locks;
mod play;
mod pods;
mod processes;
mod servers;
mod text;

use std::{borrow::Cow, future::Future};

pub use play::{Broken, play};

/// One kind of bytes, and what must hold for all of them.
#[derive(Debug)]
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Where to begin: good ones, and those that were not read well once.
    pub corpus: &'static [&'static [u8]],
    /// How many are tried in a test. All of a target together take less than a second.
    pub cases: u32,
    /// Panics when a promise is broken.
    pub holds: fn(&[u8]),
}

/// All there are.
#[must_use]
pub fn targets() -> Vec<&'static Target> {
    let all = [
        text::TARGETS,
        processes::TARGETS,
        exits::TARGETS,
        servers::TARGETS,
        locks::TARGETS,
        cluster::TARGETS,
        pods::TARGETS,
        kubeconfig::TARGETS,
    ];
    all.into_iter().flatten().collect()
}

fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// A runtime of the case's own: what it has started ends with it.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// The same where nothing waits for anything but time: that goes by at once.
fn run_in_no_time<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}

/// A directory in memory, where there is one.
fn directory() -> tempfile::TempDir {
    let shared = tempfile::tempdir_in("/dev/shm");
    shared
        .or_else(|_| tempfile::tempdir())
        .expect("a directory")
}
