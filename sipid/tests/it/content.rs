//! Content that is not a PID gets a clear answer, and nobody is signalled.

use std::fs;

use crate::support::in_namespace;

/// Runs in its own PID namespace, where a signal to all processes reaches only what the script has
/// started.
fn check(make: &str, killed: i32, claimed: i32) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(
        dir.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .unwrap();
    let script = format!(
        "cd $2; sleep 1000 & A=$!; setsid sleep 1000 & B=$!; {make}
        timeout 20 setsid --wait $1 kill --pid-file f 2>err; echo kill $?; [ -s err ] && echo said
        kill -0 $A && kill -0 $B && echo alive
        timeout 20 $1 claim --pid $A --pid-file f 2>/dev/null; echo claim $?"
    );
    let said = if killed == 0 { "" } else { "said\n" };
    assert_eq!(
        in_namespace(&script, dir.path()),
        format!("kill {killed}\n{said}alive\nclaim {claimed}\n"),
        "{make}"
    );
}

// Holds sipid-4.
#[test]
fn numbers_that_are_no_pids() {
    for text in [
        "0",
        "-1",
        "-17",
        "4294967295",
        "4294967296",
        "99999999999999999999",
        "12abc",
        "2147483648",
        "+5",
        "1 2",
    ] {
        check(&format!("printf %s '{text}' >f"), 22, 0);
    }
    // PID 1 runs, but nothing proves that it is meant.
    check("printf 1 >f", 22, 17);
}

#[test]
fn bytes_that_are_no_numbers() {
    check(": >f", 0, 0);
    check("head -c 10000000 /dev/zero | tr '\\0' 7 >f", 22, 0);
    // After a power loss, bytes that were not on the disk yet are zeros. They count as nothing.
    check("head -c 60 /dev/zero >f", 0, 0);
    check("printf '\\0\\0\\0  ' >f", 0, 0);
    // If a file is longer than what is read, nobody knows what follows the zeros.
    check("{ head -c 70 /dev/zero; echo more; } >f", 22, 0);
    check("{ head -c 10 /dev/zero; echo 7; } >f", 22, 0);
    check("printf '\\377\\376\\061\\000\\062\\000' >f", 22, 0);
}

#[test]
fn things_that_are_no_files() {
    check("mkdir f", 21, 21);
    check("mkfifo f", 22, 22);
    check("ln -s nowhere f", 2, 0);
    check("echo 99999 >to; ln -s to f", 0, 0);
    check("chmod 1777 .; echo $A >to; ln -s to f", 40, 40);
    check("chmod 1777 .; ln -s nowhere f", 40, 40);
    check("ln -s /dev/null f", 22, 22);
}

#[test]
fn no_permission() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(
        dir.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    if !nix::unistd::geteuid().is_root() {
        fs::write(dir.path().join("f"), "").unwrap();
        fs::set_permissions(
            dir.path().join("f"),
            std::os::unix::fs::PermissionsExt::from_mode(0o0),
        )
        .unwrap();
        assert_eq!(
            crate::support::kill(&dir.path().join("f"), &[])
                .status
                .code(),
            Some(13)
        );
        return;
    }
    let script = "cp $1 /tmp/sipid.$$ && chmod 755 /tmp/sipid.$$; cd $2; sleep 1000 & echo $! >f; chmod 600 f
        U='setpriv --reuid 65534 --regid 65534 --clear-groups'
        $U /tmp/sipid.$$ kill --pid-file f 2>/dev/null; echo kill $?; kill -0 $! && echo alive
        $U /tmp/sipid.$$ claim --pid $! --pid-file f 2>/dev/null; echo claim $?
        chmod 644 f; $U /tmp/sipid.$$ kill --pid-file f 2>err; echo kill $?; grep -c 'cannot send SIGTERM' err; kill -0 $! && cat f | wc -l; $U /tmp/sipid.$$ status --pid-file f >/dev/null; echo status $?; rm /tmp/sipid.$$";
    let output = in_namespace(script, dir.path());
    assert_eq!(
        output,
        "kill 13\nalive\nclaim 13\nkill 13\n1\n1\nstatus 0\n"
    );
}
