//! A PID that belongs to another process by now.

use crate::support::in_namespace;

/// The start time has a resolution of a clock tick, a hundredth of a second, so the reuse comes some ticks later.
#[test]
fn a_reused_pid_is_not_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let output = in_namespace(
        "cd $2; sleep 1000 & P=$!; sleep 1000 & Q=$!
        $1 claim --pid $P --pid-file x || exit 1; sleep 0.05; kill $P; wait $P 2>/dev/null
        until echo $((P-1)) >/proc/sys/kernel/ns_last_pid; sleep 1000 & R=$!; [ $R = $P ]; do kill $R; done
        $1 status --pid-file x >/dev/null; echo status $?
        $1 claim --pid $Q --pid-file x; echo claim $?; kill $Q; wait $Q 2>/dev/null
        rm x; kill $R; wait $R 2>/dev/null; sleep 1000 & P=$!; $1 claim --pid $P --pid-file x; sleep 0.05; kill $P; wait $P 2>/dev/null
        until echo $((P-1)) >/proc/sys/kernel/ns_last_pid; sleep 1000 & R=$!; [ $R = $P ]; do kill $R; done
        $1 kill --pid-file x; echo kill $?; kill -0 $R && echo alive",
        dir.path(),
    );
    assert_eq!(output, "status 1\nclaim 0\nkill 0\nalive\n");
}

#[test]
fn a_restarted_container_is_not_its_earlier_life() {
    let dir = tempfile::tempdir().unwrap();
    let first = in_namespace(
        "sleep 1000 & cd $2; for f in a b; do $1 claim --pid $! --pid-file $f; done; echo $!",
        dir.path(),
    );
    let again = in_namespace(
        "sleep 1000 & cd $2; echo $!; $1 claim --pid $! --pid-file a; echo claim $?
        $1 kill --pid-file b; echo kill $?; kill -0 $! && echo alive",
        dir.path(),
    );
    assert_eq!(again, format!("{first}claim 0\nkill 0\nalive\n"));
}

#[test]
fn the_host_finds_a_containers_process() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    let script = "cd $2; sleep 1000 & $1 claim --pid $! --pid-file x; wait $!; echo ended $?";
    let path = dir.path().to_owned();
    let container = std::thread::spawn(move || in_namespace(script, &path));
    if nix::unistd::geteuid().is_root()
        && std::fs::metadata("/proc/self/ns/pid")
            .is_ok_and(|ns| std::os::unix::fs::MetadataExt::ino(&ns) == 0xEFFF_FFFC)
    {
        crate::support::eventually("the host sees it", || {
            crate::support::status_of(&["status", "--pid-file", file.to_str().unwrap()]) == 0
                && dir.path().join(".x.sipid").exists()
        });
        assert!(crate::support::kill(&file, &[]).status.success());
    } else {
        crate::support::eventually("it has claimed", || dir.path().join(".x.sipid").exists());
        // Another namespace than ours, which is a container itself: its earlier life.
        assert_eq!(
            crate::support::status_of(&["status", "--pid-file", file.to_str().unwrap()]),
            1
        );
        return;
    }
    assert_eq!(container.join().unwrap(), "ended 143\n");
}
