//! Wall clocks that are wrong, or are set while a lock is held.

use std::{process::Stdio, time::Duration};

use apiserver::Proxy;
use coord_core::boottime;
use testkit::{
    WallClocks,
    process::{Kept, is_alive, number_in},
};

use super::{Place, lockheed};

/// The wall clock has only one use, the validity of certificates. The cluster's last ten years.
#[test]
#[ignore = "no cluster"]
fn a_shift_is_visible_to_the_program() {
    let (place, clocks) = (Place::new(), WallClocks::set_up());
    let list = || {
        let mut command = lockheed(&place.user);
        let output = clocks.of(&mut command, "its").arg("list").output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    clocks.set("its", 0);
    assert!(list().0, "{:?}", list());
    clocks.set("its", 30 * 365 * 24 * 3600);
    let (done, error) = list();
    assert!(!done && error.contains("expired"), "{error}");
}

/// Logs when it started, as a `CLOCK_BOOTTIME` in hundredths of a second, if its predecessor no
/// longer runs.
const NEXT: &str = r#"if kill -0 $(cat pid) 2>/dev/null; then echo -1 >next; exit 1; fi
cut -d' ' -f1 /proc/uptime | tr -d . >next"#;

// Holds lockheed-2.
#[test]
#[ignore = "no cluster"]
fn a_wall_clock_that_is_wrong_by_an_hour_takes_no_lock_early_and_keeps_none_late() {
    const LEASE: Duration = Duration::from_secs(4);
    let (place, clocks) = (Place::new(), WallClocks::set_up());
    // The proxy serves plain HTTP, so the certificates do not matter.
    let proxy = Proxy::start(&place.user);
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    for (name, of_holder, of_waiter) in [
        ("ahead", 0, 3600),
        ("behind", 0, -3600),
        ("both", 3600, -3600),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let at = |file: &str| directory.path().join(file);
        clocks.set("holder", of_holder);
        clocks.set("waiter", of_waiter);
        let run = |whose: &str, command: &str| {
            let mut lockheed = lockheed(&kubeconfig);
            lockheed.args(["run", name, "--duration", "4s", "--", "sh", "-c", command]);
            Kept::spawn(
                clocks
                    .of(&mut lockheed, whose)
                    .current_dir(directory.path())
                    .stderr(Stdio::null()),
            )
        };
        let mut holder = run("holder", "echo $$ >pid; exec sleep 1000");
        let pid = number_in(&at("pid"));
        let mut waiter = run("waiter", NEXT);
        // While the lock is held and renewed, the clocks are set back and forth.
        for step in [-3600, 7200, of_holder] {
            clocks.set("holder", step);
            std::thread::sleep(LEASE);
            assert!(is_alive(pid) && !at("next").exists(), "{name}, {step}");
        }
        holder.signal(nix::sys::signal::Signal::SIGKILL);
        let killed = boottime();
        holder.0.wait().unwrap();
        let next = u64::try_from(number_in(&at("next")));
        let next = Duration::from_millis(10 * next.expect("it began while the command ran"));
        assert!(
            next <= killed + LEASE + Duration::from_secs(2),
            "{name}: {:?} too late",
            next - killed - LEASE
        );
        assert!(waiter.0.wait().unwrap().success());
    }
}
