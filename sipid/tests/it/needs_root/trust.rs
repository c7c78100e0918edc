//! Pidfiles that others may have written, and which processes they are believed to name.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{claim, in_namespace, kill, sipid, sleeper, status_of};

/// Shell functions. The process `R` belongs to root, `N` to nobody, and `M` to nobody with root as
/// its real user. `scene` creates a new directory `d`, in which a pidfile `d/x` must then be
/// created.
const FUNCTIONS: &str = "
    S=$1; cd $2
    as() { setpriv --reuid=$1 --clear-groups -- \"${@:2}\"; }
    begin() {
        sleep 1000 & R=$!
        setpriv --reuid=65534 --regid=65534 --clear-groups sleep 1000 & N=$!
        setpriv --euid=65534 sleep 1000 & M=$!
        until grep -q 'Uid:.65534.65534' /proc/$N/status; do sleep 0.01; done
        until grep -q 'Uid:.0.65534' /proc/$M/status; do sleep 0.01; done
    }
    all_live() { kill -0 $R && kill -0 $N && kill -0 $M; } 2>/dev/null
    end() { kill $(jobs -p); wait; } 2>/dev/null
    scene() { begin; rm -rf d; mkdir -m 755 d; }\n";

/// The results of status, signal, a wait, kill and a claim for another process, and whether the
/// named processes still live.
fn answers(setup: &str) -> String {
    let script = format!(
        "{FUNCTIONS}
        scene; {setup}
        $S status --pid-file d/x >said; echo -n \"status $? \"
        $S signal --pid-file d/x CONT 2>err; echo -n \"signal $? \"
        $S wait-until-healthy --pid-file d/x -- true 2>>err; echo -n \"wait $? \"
        $S kill --pid-file d/x 2>>err; echo -n \"kill $? \"
        all_live && echo -n 'alive '
        end; scene; {setup}
        sleep 1000 & C=$!; $S claim --pid $C --pid-file d/x 2>>err; echo \"claim $?\"
        [ \"$(cat d/x)\" = $C ] && $S status --pid-file d/x >>said || echo not claimed; end 2>/dev/null"
    );
    let dir = tempfile::tempdir().unwrap();
    in_namespace(&script, dir.path())
}

const BELIEVED: &str = "status 0 signal 0 wait 0 kill 0 claim 17\n";
const REFUSED: &str = "status 1 signal 13 wait 13 kill 13 alive claim 0\n";

fn check(expected: &str, setups: &[&str]) {
    for setup in setups {
        let said = answers(setup);
        // After a claim that was refused, the file still names the other one.
        let said = said.replace("not claimed\n", "");
        assert_eq!(said, expected, "{setup}");
    }
}

#[test]
#[ignore = "needs root"]
fn what_only_root_can_have_written_is_believed() {
    check(
        BELIEVED,
        &[
            "echo $R >d/x",
            "echo $N >d/x",
            "echo $R >d/x; chmod 1777 d",
            "mkdir d/e; echo $R >d/e/x; ln -s e/x d/x",
            "echo $R >d/x; chgrp 65534 d d/x; chmod 750 d; chmod 640 d/x",
        ],
    );
}

// Holds sipid-3.
#[test]
#[ignore = "needs root"]
fn what_its_owner_can_have_written_is_believed_of_the_owners_processes() {
    check(
        BELIEVED,
        &[
            "echo $N >d/x; chown 65534 d/x",
            "echo $N >d/x; chown 65534 d/x d",
            "echo $N >d/x; chown 65534 d/x; chmod 1777 d",
        ],
    );
    check(
        REFUSED,
        &[
            "echo $R >d/x; chown 65534 d/x",
            "echo $R >d/x; chown 65534 d/x d",
            "echo $R >d/x; chown 65534 d/x; chmod 1777 d",
            // One of the process's users is root.
            "echo $M >d/x; chown 65534 d/x",
            "echo $N >d/x; chown 65533 d/x",
        ],
    );
}

// Holds sipid-3.
#[test]
#[ignore = "needs root"]
fn what_anybody_else_can_have_written_is_not_believed() {
    check(
        REFUSED,
        &[
            "echo $R >d/x; chmod 666 d/x",
            "echo $R >d/x; chmod 602 d/x",
            "echo $N >d/x; chown 65534 d/x; chmod 666 d/x",
            "echo $R >d/x; chmod 777 d",
            "echo $R >d/x; chown 65534 d",
            "echo $R >d/x; chgrp 65534 d; chmod 775 d",
            "echo $R >d/x; chgrp 65534 d/x; chmod 664 d/x",
            "echo $R >d/x; chmod 664 d/x",
            "echo $N >d/x; chown 65534 d/x; chmod 777 d",
            "echo $R >d/x; chmod 1777 d; chown 65534 d",
            "echo $R >d/y; ln d/y d/x; chmod 1777 d",
        ],
    );
}

/// A user who can rename a directory, or change a link, can put another file in the place of this
/// one.
// Holds sipid-3.
#[test]
#[ignore = "needs root"]
fn each_directory_on_the_way_counts() {
    check(
        REFUSED,
        &[
            "mkdir -p e/f; chown 65534 e; rmdir d; mv e/f e/d; ln -s e/d d; echo $R >d/x",
            "rm -rf e; mkdir -p e/f; chmod 777 e; rmdir d; ln -s e/f d; echo $R >d/x",
            "rm -rf e; mkdir -p e/f; chmod 1777 e; rmdir d; ln -s f e/l; chown -h 65534 e/l; ln -s e/l d; echo $R >d/x",
        ],
    );
    check(
        BELIEVED,
        &["rm -rf e; mkdir -p e/f; chmod 1777 e; rmdir d; ln -s f e/l; ln -s e/l d; echo $R >d/x"],
    );
}

/// An identity that only root can have written proves for which process root has claimed, wherever
/// it is.
#[test]
#[ignore = "needs root"]
fn an_identity_of_roots_proves_what_the_directory_does_not() {
    let claimed = "$S claim --pid $R --pid-file d/x || exit";
    check(
        BELIEVED,
        &[
            &format!("chmod 777 d; {claimed}"),
            &format!("chown 65534 d; {claimed}"),
            &format!("chmod 1777 d; {claimed}"),
        ],
    );
    check(
        REFUSED,
        &[
            // Others may have written the identity, too.
            &format!("chmod 777 d; {claimed}; chmod 666 d/.x.sipid"),
            &format!("chmod 777 d; {claimed}; chown 65534 d/.x.sipid"),
            &format!("chown 65534 d; {claimed}; chown 65534 d/x d/.x.sipid"),
            // It is the identity of another pidfile. A user who may write to the directory has
            // moved both here.
            "chmod 777 d; $S claim --pid $R --pid-file d/y || exit; mv d/y d/x; mv d/.y.sipid d/.x.sipid",
            "mkdir -p e; rm -f e/*; chmod 777 d; $S claim --pid $R --pid-file e/x || exit; mv e/x d/x; mv e/.x.sipid d/.x.sipid",
            // The identity names another PID than the file.
            &format!("chmod 777 d; {claimed}; chmod 666 d/x; echo $N >d/x"),
        ],
    );
}

#[test]
#[ignore = "needs root"]
fn the_reason_is_said() {
    let script = format!(
        "{FUNCTIONS}
        scene; echo $R >d/x; chown 65534 d/x
        $S kill --pid-file d/x; $S status --pid-file d/x; $S status --pid-file d/x -o json | sed 's/.*\"doubt\"/doubt/'
        chown 0 d/x; chmod 777 d; $S kill --pid-file d/x; $S claim --pid $N --pid-file d/x; end"
    );
    let dir = tempfile::tempdir().unwrap();
    let said = in_namespace(&script, dir.path());
    let mut said: Vec<&str> = said.lines().collect();
    said.sort_unstable();
    let directory = dir.path().join("d");
    // R is the first process that the namespace's own first process has started.
    let mut expected = [
        "sipid: refusing to signal process 2, which \"d/x\" names: user 65534 owns the file, but not the process; check it, and use kill(1)".to_owned(),
        "not running: \"d/x\" names process 2, but user 65534 owns the file, but not the process".to_owned(),
        "doubt:\"user 65534 owns the file, but not the process\",\"identity\":null,\"locked\":false,\"pid\":2,\"running\":false}".to_owned(),
        format!("sipid: refusing to signal process 2, which \"d/x\" names: others may write to {directory:?} (mode 0777); check it, and use kill(1)"),
        format!("[WARN  sipid] process 2 does not count, though \"d/x\" names it: others may write to {directory:?} (mode 0777)"),
    ];
    expected.sort();
    assert_eq!(said, expected);
}

/// The test's own files, to which others may write. This needs no other user.
#[test]
#[ignore = "needs root"]
fn a_file_of_ones_own_that_all_may_write_to_proves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pid");
    let mut process = sleeper();
    fs::write(&file, process.pid()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let refused = kill(&file, &[]);
    assert_eq!(refused.status.code(), Some(13), "{refused:?}");
    assert!(process.is_alive());
    let path = file.to_str().unwrap();
    assert_eq!(status_of(&["status", "--pid-file", path]), 1);
    assert_eq!(status_of(&["signal", "--pid-file", path, "CONT"]), 13);
    // The claimed file is then private, and believed.
    let other = sleeper();
    assert_eq!(claim(&other.pid(), &file), 0);
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(sipid(&["status", "--pid-file", path]).status.success());
}

/// A user's lock on a file of its own keeps nobody else out.
#[test]
#[ignore = "needs root"]
fn a_strangers_lock_does_not_keep_a_service_down() {
    let script = format!(
        "{FUNCTIONS}
        scene; chmod 1777 d; echo $R >d/x; chown 65534 d/x; exec 5<d/x; flock 5
        for i in 1 2 3 4 5 6 7 8; do
            sleep 1000 5<&- & P=$!
            {{ $S claim --pid $P --pid-file d/x 5<&- 2>/dev/null; echo $? >>codes; }} & J=\"$J $!\"
        done
        wait $J; grep -c '^0' codes; stat -c '%U %a' d/x; kill -0 $R && echo alive; end"
    );
    let dir = tempfile::tempdir().unwrap();
    let said = in_namespace(&script, dir.path());
    assert_eq!(said, "1\nroot 600\nalive\n");
}

/// A group with no other member than the owner does not count as others.
#[test]
#[ignore = "needs root"]
fn a_group_of_the_owner_alone_is_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let script =
        "cd $2; chmod 755 .; setpriv --reuid=bin --regid=bin --clear-groups sleep 1000 & P=$!
        until grep -q 'Uid:.2.2' /proc/$P/status; do sleep 0.01; done
        echo $P >x; chown bin:bin x; chmod 664 x; $1 status --pid-file x >said; echo $?";
    assert_eq!(in_namespace(script, dir.path()), "0\n");
}

/// An identity that belongs to a third user does not count. Otherwise that user could make a
/// process seem to be gone.
#[test]
#[ignore = "needs root"]
fn an_identity_counts_that_is_ours_or_the_owners_of_the_pidfile() {
    let dir = tempfile::tempdir().unwrap();
    let (file, beside) = (dir.path().join("x"), dir.path().join(".x.sipid"));
    assert_eq!(claim(&sipid::Pid::own().to_string(), &file), 0);
    std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
    for (owner, counts) in [(0, true), (65_534, true), (65_533, false)] {
        std::os::unix::fs::chown(&beside, Some(owner), None).unwrap();
        let identity = sipid::PidFile::new(&file).status().unwrap().identity;
        assert_eq!(identity.is_some(), counts, "{owner}");
    }
}

/// Root has no number there, so its directories seem to be nobody's. They are trusted on the way to
/// the file, but anybody may own the file's own directory.
#[test]
#[ignore = "needs root"]
fn where_root_has_no_number_its_directories_count_as_roots() {
    let script = format!(
        "{FUNCTIONS}
        cp $S sipid; chmod 755 . sipid
        unshare --user sleep 1000 & H=$!
        until [ $(readlink /proc/$H/ns/user) != $(readlink /proc/self/ns/user) ]; do sleep 0.01; done
        echo 54321 54321 1 | tee /proc/$H/uid_map >/proc/$H/gid_map
        status() {{
            nsenter --user=/proc/$H/ns/user -S 54321 -G 54321 ./sipid status --pid-file d/x >/dev/null
            echo -n \"$? \"
        }}
        mkdir d; setpriv --reuid=54321 --regid=54321 --clear-groups sleep 1000 & P=$!
        until grep -q 'Uid:.54321.54321' /proc/$P/status; do sleep 0.01; done
        echo $P >d/x; chown 54321 d d/x; status
        chown 0 d; status
        kill $P $H"
    );
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(in_namespace(&script, dir.path()), "0 1 ");
}
