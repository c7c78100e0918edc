//! A PID that belongs to another process by now.

use crate::support::in_namespace;

/// Shell functions. `start_of PID` prints field 22 of its stat. `claimed` claims `x` for a process
/// that then ends; its PID is P, and its start was S. `reused` gives P to another process, with
/// another start.
const FUNCTIONS: &str = "
    start_of() { sed 's/.*) //' /proc/$1/stat | cut -d ' ' -f 20; }
    end() { kill $1; wait $1 2>/dev/null; }
    claimed() {
        sleep 1000 & P=$!; S=$(start_of $P); $1 claim --pid $P --pid-file x || exit 1; end $P
    }
    reused() {
        until echo $((P - 1)) >/proc/sys/kernel/ns_last_pid; sleep 1000 & R=$!
            [ $R = $P ] && [ $(start_of $R) != $S ]; do end $R; done
    }
    cd $2\n";

/// The answers of a claim, a status and a kill after `change`, when the PID in the pidfile belongs
/// to another process.
fn answers_after(change: &str) -> String {
    let script = format!(
        "{FUNCTIONS} claimed $1; reused; {change}
        $1 status --pid-file x >/dev/null; echo status $?
        $1 kill --pid-file x; echo kill $?; kill -0 $R && echo alive; end $R
        claimed $1; reused; {change}
        sleep 1000 & $1 claim --pid $! --pid-file x; echo claim $?"
    );
    let dir = tempfile::tempdir().unwrap();
    in_namespace(&script, dir.path())
}

const NOT_THE_PROCESS: &str = "status 1\nkill 0\nalive\nclaim 0\n";

// Holds sipid-2.
#[test]
fn a_reused_pid_is_not_the_process() {
    assert_eq!(answers_after(""), NOT_THE_PROCESS);
}

/// On an older kernel, a claim leaves this.
// Holds sipid-2.
#[test]
fn without_the_pidfd_the_start_time_tells() {
    let without = "sed -i 's/ pidfd=[0-9]*//' .x.sipid; grep -c pidfd .x.sipid >&2";
    assert_eq!(answers_after(without), format!("{NOT_THE_PROCESS}0\n0\n"));
}

/// This holds for any limit of descriptors, and whichever command runs out of them.
// Holds sipid-2.
#[test]
fn without_descriptors_a_reused_pid_is_not_the_process_either() {
    let script = format!(
        "{FUNCTIONS} claimed $1; reused
        for limit in $(seq 3 20); do
            prlimit --nofile=$limit $1 status --pid-file x >/dev/null 2>&1; S=$?
            [ $S = 1 ] || [ $S = 24 ] || [ $S = 127 ] || echo $limit: status $S
            prlimit --nofile=$limit $1 kill --pid-file x >/dev/null 2>&1
            kill -0 $R || {{ echo $limit: killed; reused; }}
            [ -e x ] || {{ end $R; claimed $1; reused; }}
        done
        end $R; sleep 1000 & L=$!
        for limit in $(seq 3 20); do
            rm -f x .x.sipid
            prlimit --nofile=$limit $1 claim --pid $L --pid-file x >/dev/null 2>&1; S=$?
            [ $S != 0 ] || [ -s .x.sipid ] || echo $limit: claimed without identity
            [ $S = 0 ] || [ $S = 24 ] || [ $S = 127 ] || echo $limit: claim $S
            [ $S = 0 ] || [ ! -s x ] || echo $limit: $S and a PID
        done
        echo claim $S"
    );
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(in_namespace(&script, dir.path()), "claim 0\n");
}

/// As if the PID had been used again within one clock tick.
#[test]
fn a_reuse_at_the_same_start_is_told_apart_where_pidfds_have_inodes() {
    let same_start = "sed -i \"s/start=[0-9]*/start=$(start_of $R)/\" .x.sipid";
    let script = format!(
        "{FUNCTIONS} claimed $1; reused; {same_start}; grep -c pidfd= .x.sipid
        $1 status --pid-file x >/dev/null; echo status $?"
    );
    let dir = tempfile::tempdir().unwrap();
    let output = in_namespace(&script, dir.path());
    if has_pidfs() {
        assert_eq!(output, "1\nstatus 1\n");
        assert_eq!(answers_after(same_start), NOT_THE_PROCESS);
    } else {
        // This is documented: the start time alone cannot tell.
        assert_eq!(output, "0\nstatus 0\n");
    }
}

/// Linux 6.9 and newer have it, unless it is configured away.
fn has_pidfs() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.trim().parse::<u32>().ok());
    let version = (numbers.next().unwrap(), numbers.next().unwrap_or(0));
    cfg!(target_pointer_width = "64") && version >= (6, 9)
}

// Holds sipid-2.
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

/// Two containers may share a volume. A PID of one is not a PID of the other, even if nothing else
/// tells them apart.
#[test]
fn a_pid_of_another_container_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let output = in_namespace(
        "cd $2; sleep 1000 & $1 claim --pid $! --pid-file x
        sed -i 's/ pidfd=[0-9]*//' .x.sipid; $1 status --pid-file x >/dev/null; echo status $?
        sed -i 's/ pidns=[0-9]*/ pidns=1/' .x.sipid; $1 status --pid-file x >/dev/null; echo status $?",
        dir.path(),
    );
    assert_eq!(output, "status 0\nstatus 1\n");
}

#[test]
fn the_host_finds_a_containers_process() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    let script = "cd $2; sleep 1000 & $1 claim --pid $! --pid-file x; wait $!; echo ended $?";
    let path = dir.path().to_owned();
    let container = std::thread::spawn(move || in_namespace(script, &path));
    let own = std::fs::metadata("/proc/self/ns/pid").unwrap();
    if std::os::unix::fs::MetadataExt::ino(&own) == 0xEFFF_FFFC {
        crate::support::eventually("the host sees it", || {
            crate::support::status_of(&["status", "--pid-file", file.to_str().unwrap()]) == 0
                && dir.path().join(".x.sipid").exists()
        });
        assert!(crate::support::kill(&file, &[]).status.success());
    } else {
        crate::support::eventually("it has claimed", || dir.path().join(".x.sipid").exists());
        // We are in another namespace, and so in a container ourselves: it looks like that
        // container's earlier life.
        assert_eq!(
            crate::support::status_of(&["status", "--pid-file", file.to_str().unwrap()]),
            1
        );
        return;
    }
    assert_eq!(container.join().unwrap(), "ended 143\n");
}

/// One container cannot see whether a process of another one lives. But the lock of `claim -- CMD`
/// shows it.
#[test]
fn of_two_containers_that_share_a_directory_one_gets_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    // This process stays until all is over, so that no later namespace gets the same number.
    let first = "cd $2; sleep 1000 & sleep 1000 & $1 claim --pid $! --pid-file y; until [ -e over ]; do sleep 0.05; done &
        $1 claim --pid-file x -- sh -c 'echo >held; until [ -e over ]; do sleep 0.05; done'";
    let path = dir.path().to_owned();
    let holder = std::thread::spawn(move || in_namespace(first, &path));
    let held = dir.path().join("held");
    crate::support::eventually("it is claimed", || held.exists());
    let said = in_namespace(
        "cd $2; sleep 1000 & P=$!; $1 claim --pid $P --pid-file x 2>/dev/null; echo $?
        $1 claim --pid-file x -- true 2>/dev/null; echo $?
        $1 claim --pid $P --pid-file y; echo claim $?",
        dir.path(),
    );
    std::fs::write(dir.path().join("over"), "").unwrap();
    // Without the lock, the file is taken over, as it must be after a restart, with a warning.
    let warning = "[WARN  sipid] taking \"y\" over from a process 3 that cannot be seen from this container; where containers share a directory use claim -- CMD\n";
    assert_eq!(said, format!("11\n11\nclaim 0\n{warning}"));
    assert_eq!(holder.join().unwrap(), "");
}

/// Some sandboxes have this.
#[test]
fn the_host_finds_the_process_of_a_container_with_a_boot_id_of_its_own() {
    let own = std::fs::metadata("/proc/self/ns/pid").unwrap();
    if std::os::unix::fs::MetadataExt::ino(&own) != 0xEFFF_FFFC || !has_pidfs() {
        println!("needs the initial PID namespace, and Linux 6.9");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    let script = "cd $2; echo 01234567-89ab-cdef-0123-456789abcdef >id
        mount --bind id /proc/sys/kernel/random/boot_id || exit
        sleep 1000 & $1 claim --pid $! --pid-file x; echo >claimed; wait $!; echo ended $?";
    let path = dir.path().to_owned();
    let container = std::thread::spawn(move || in_namespace(script, &path));
    let claimed = dir.path().join("claimed");
    crate::support::eventually("it is claimed", || claimed.exists());
    let other = crate::support::sleeper();
    assert_eq!(crate::support::claim(&other.pid(), &file), 17);
    assert!(crate::support::kill(&file, &[]).status.success());
    assert_eq!(container.join().unwrap(), "ended 143\n");
}
