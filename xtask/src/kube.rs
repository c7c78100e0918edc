//! `cargo xtask kube`: runs a real etcd and kube-apiserver on loopback, for tests and for trying
//! things out.

mod build;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use apiserver::cluster::{self, Binaries, Cluster, Lives};
use clap::Subcommand;

use crate::{Result, process};

/// What to do with the cluster.
#[derive(Subcommand)]
pub(crate) enum Kube {
    /// Start it, unless it is running
    Up,
    /// End it, and remove everything that it wrote
    Down,
    /// Print what a shell needs to use it: eval "$(cargo xtask kube env)"
    Env,
}

impl Kube {
    pub(crate) fn run(&self) -> Result {
        let directory = place().join("up");
        match self {
            Self::Up => up(&directory),
            Self::Down => {
                let _alone = alone()?;
                Cluster::remove(&directory)
            }
            Self::Env => env(&directory),
        }
    }
}

/// A cluster that is removed when this is dropped, and when this process ends in any other way.
pub(crate) struct OfTests {
    cluster: Cluster,
    binaries: Binaries,
}

/// A cluster for the demo, or for the pages.
pub(crate) struct AtHand {
    /// The cluster that was started for this value, if any; it ends with it.
    _started: Option<OfTests>,
    /// The environment variables by which programs find it.
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
    pub(crate) kubectl: PathBuf,
}

/// The cluster that is up; otherwise a new one for the caller, if `start` is set.
pub(crate) fn at_hand(start: bool) -> Result<Option<AtHand>> {
    let directory = place().join("up");
    if !start && !Cluster::is_up(&directory)? {
        return Ok(None);
    }
    if start {
        return Ok(Some(of_tests()?.into()));
    }
    let binaries = binaries()?;
    Ok(Some(AtHand {
        _started: None,
        environment: environment(&directory, &binaries),
        kubectl: binaries.kubectl().to_owned(),
    }))
}

impl From<OfTests> for AtHand {
    fn from(cluster: OfTests) -> Self {
        Self {
            environment: cluster.environment(),
            kubectl: cluster.binaries.kubectl().to_owned(),
            _started: Some(cluster),
        }
    }
}

/// Starts a cluster for one run of the tests.
pub(crate) fn of_tests() -> Result<OfTests> {
    let binaries = binaries()?;
    let _alone = alone()?;
    remove_abandoned()?;
    let directory = place().join(format!("{TESTS}{}", std::process::id()));
    let cluster = Cluster::start(&binaries, &directory, Lives::WithThread);
    let cluster = cluster.inspect_err(|_| drop(fs::remove_dir_all(&directory)))?;
    Ok(OfTests { cluster, binaries })
}

/// Whether there is a Go that can build what tests need.
pub(crate) fn has_go() -> bool {
    build::check_go().is_ok()
}

/// The variable by which the tests find the program that elects a leader.
pub(crate) fn leader() -> Result<(&'static str, PathBuf)> {
    Ok(("TESTKIT_LEADER", build::leader(&place())?))
}

/// The program that checks the histories of locks.
pub(crate) fn checker() -> Result<PathBuf> {
    build::checker(&place())
}

/// The directory of etcd, kube-apiserver and kubectl; `None` if all are found in `PATH`.
pub(crate) fn assets() -> Result<Option<PathBuf>> {
    Ok(binaries()?.directory().map(Path::to_owned))
}

impl OfTests {
    /// The environment variables by which the tests find it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        environment(self.cluster.directory(), &self.binaries)
    }
}

impl Drop for OfTests {
    fn drop(&mut self) {
        self.cluster.kill();
        if let Err(error) = fs::remove_dir_all(self.cluster.directory()) {
            eprintln!(
                "xtask: cannot remove {:?}: {error}",
                self.cluster.directory()
            );
        }
    }
}

/// The start of the names of test runs' directories; the PID of the run follows.
const TESTS: &str = "tests-";

fn up(directory: &Path) -> Result {
    let binaries = binaries()?;
    let _alone = alone()?;
    if Cluster::is_up(directory)? {
        eprintln!("it is up already, in {directory:?}");
        return Ok(());
    }
    Cluster::remove(directory)?;
    let cluster = Cluster::start(&binaries, directory, Lives::OnTheirOwn);
    let cluster = cluster.inspect_err(|_| drop(Cluster::remove(directory)))?;
    eprintln!(
        "up at {}: eval \"$(cargo xtask kube env)\"",
        cluster::url(cluster.directory())?
    );
    Ok(())
}

fn env(directory: &Path) -> Result {
    if !Cluster::is_up(directory)? {
        return Err("it is not up: cargo xtask kube up".into());
    }
    for (name, value) in environment(directory, &binaries()?) {
        let quoted = value.display().to_string().replace('\'', r"'\''");
        println!("export {name}='{quoted}'");
    }
    Ok(())
}

fn environment(directory: &Path, binaries: &Binaries) -> Vec<(&'static str, PathBuf)> {
    let mut environment = vec![
        ("KUBECONFIG", directory.join("admin.kubeconfig")),
        (cluster::DIRECTORY, directory.to_owned()),
    ];
    // For tests that start their own cluster, to make it fail.
    if let Some(assets) = binaries.directory() {
        environment.push(("KUBEBUILDER_ASSETS", assets.to_owned()));
    }
    environment
}

/// Installed binaries, otherwise those that we build.
fn binaries() -> Result<Binaries> {
    Binaries::installed().map_or_else(|| build::binaries(&place()), Ok)
}

fn place() -> PathBuf {
    process::target().join("kube")
}

/// Keeps other runs of this task out until the file is dropped.
fn alone() -> Result<File> {
    fs::create_dir_all(place())?;
    let lock = File::create(place().join("lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// Removes directories of test runs that could not clean up. Their servers have ended with them.
fn remove_abandoned() -> Result {
    for entry in fs::read_dir(place())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let of_tests = name.is_some_and(|name| name.starts_with(TESTS));
        if of_tests && !Cluster::is_up(&path)? {
            Cluster::remove(&path)?;
        }
    }
    Ok(())
}
