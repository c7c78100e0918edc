//! Promises about bytes that others write: files, answers, objects, arguments.
//!
//! A [`Target`] is one function. It gets bytes, and panics if they break a promise. It calls the
//! crates' public interfaces, as their users do. Two drivers call it: [`play`] on any compiler,
//! with the corpus and edits of it, and libFuzzer.

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

/// One kind of input, and what must hold for all inputs of this kind.
#[derive(Debug)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Good inputs, and inputs that were once handled badly.
    pub corpus: &'static [&'static [u8]],
    /// How many inputs a test tries. All inputs of a target together take less than a second.
    pub cases: u32,
    /// Panics when a promise is broken.
    pub holds: fn(&[u8]),
}

/// All targets.
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

/// Runs the future on a runtime of its own, with which everything ends that the future has started.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// The same, for a future that waits for nothing but time: time passes at once.
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
