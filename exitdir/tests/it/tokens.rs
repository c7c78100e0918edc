//! The library together with tokio.

use std::time::Duration;

use exitdir::{ExitDir, Record, Watcher, aware, aware_of};
use tempfile::tempdir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::WATCHDOG;

/// Runs the test in a runtime. The runtime then ends, with everything that the token had started.
fn in_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async { timeout(WATCHDOG, test).await.unwrap() });
}

#[test]
fn a_token_is_cancelled_by_the_signal_and_its_parent_is_not() {
    in_runtime(async {
        let dir = tempdir().unwrap();
        let parent = CancellationToken::new();
        let token = aware_of(Watcher::new(ExitDir::new(dir.path())).unwrap(), &parent);
        timeout(Duration::from_millis(50), token.cancelled())
            .await
            .unwrap_err();
        ExitDir::new(dir.path()).signal(&Record::exited(0)).unwrap();
        token.cancelled().await;
        assert!(!parent.is_cancelled());
    });
}

/// A process has only one environment, so this test runs again in a process that has the directory
/// in its environment.
#[test]
fn the_directory_of_the_environment_is_signalled_and_watched() {
    const INNER: &str = "EXITDIR_TEST_INNER";
    if std::env::var_os(INNER).is_some() {
        return in_runtime(async {
            let token = aware(&CancellationToken::new());
            assert!(!token.is_cancelled());
            exitdir::signal_exit().unwrap();
            token.cancelled().await;
        });
    }
    let dir = tempdir().unwrap();
    let test = "tokens::the_directory_of_the_environment_is_signalled_and_watched";
    let mut inner = std::process::Command::new(std::env::current_exe().unwrap());
    inner.args(["--exact", test]).env(INNER, "");
    let output = inner.env("EXIT_DIR", dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let record = ExitDir::new(dir.path()).signalled().unwrap();
    assert_eq!(record.unwrap().status, Some(0));
}

#[test]
fn a_token_is_cancelled_when_the_leader_dies_or_the_directory_goes() {
    in_runtime(async {
        let dir = tempdir().unwrap();
        let leader = ExitDir::new(dir.path()).lead().unwrap();
        let parent = CancellationToken::new();
        let token = aware_of(Watcher::new(ExitDir::new(dir.path())).unwrap(), &parent);
        drop(leader);
        token.cancelled().await;

        let token = aware_of(Watcher::new(ExitDir::new(dir.path())).unwrap(), &parent);
        dir.close().unwrap();
        token.cancelled().await;
    });
}

#[test]
fn a_token_is_cancelled_with_its_parent_and_by_nothing_else_without_a_directory() {
    in_runtime(async {
        let parent = CancellationToken::new();
        let token = aware_of(Watcher::idle(), &parent);
        timeout(Duration::from_millis(50), token.cancelled())
            .await
            .unwrap_err();
        parent.cancel();
        token.cancelled().await;
    });
}

/// The watching thread ends with the token, and with the runtime.
#[test]
fn no_thread_is_left_behind() {
    let threads = || std::fs::read_dir("/proc/self/task").unwrap();
    let watching = || {
        let names = threads()
            .flatten()
            .map(|task| std::fs::read_to_string(task.path().join("comm")));
        names
            .filter(|name| matches!(name, Ok(name) if name == "exitdir aware\n"))
            .count()
    };
    let before = watching();
    let token = CancellationToken::new();
    in_runtime(async {
        for _ in 0..10 {
            drop(aware_of(Watcher::idle(), &token));
        }
    });
    crate::eventually("the threads end", || watching() <= before);
}
