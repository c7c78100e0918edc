//! Holders, and an API server, that die or stop: the work has ended before anybody else starts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use apiserver::{
    Namespace, Proxy,
    cluster::{Binaries, Cluster, Lives},
};
use coord_core::boottime;
use nix::sys::signal::Signal;
use testkit::{
    eventually,
    process::{Kept, is_alive, number_in},
};

use super::{Place, holder, lockheed};

pub(super) const LEASE: Duration = Duration::from_secs(6);

/// A holder whose command has a child and a grandchild, and ignores TERM.
pub(super) struct Holder {
    pub(super) process: Kept,
    pub(super) directory: tempfile::TempDir,
    tree: Vec<i32>,
}

impl Holder {
    fn start(kubeconfig: &Path, more: &[&str]) -> Self {
        Self::by(lockheed(kubeconfig), more)
    }

    pub(super) fn by(command: Command, more: &[&str]) -> Self {
        Self::with_a_lease_of("6s", command, more)
    }

    fn with_a_lease_of(length: &str, mut command: Command, more: &[&str]) -> Self {
        const TREE: &str = r#"trap '' TERM
(trap '' TERM; (trap '' TERM; echo $BASHPID >third; while :; do sleep 1; done) & echo $BASHPID >second; while :; do sleep 1; done) &
echo $$ >first
while :; do sleep 1; done"#;
        let directory = tempfile::tempdir().unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        command
            .args(["run", "x", "--duration", length])
            .args(more)
            .args(["--", "bash", "-c", TREE]);
        let process = Kept::spawn(command.current_dir(directory.path()).stderr(log));
        let tree = ["first", "second", "third"].map(|name| number_in(&directory.path().join(name)));
        Self {
            process,
            tree: tree.to_vec(),
            directory,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.tree.iter().any(|pid| is_alive(*pid))
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// Fails if a process was seen alive after the deadline. Seeing late that it is dead proves
    /// nothing.
    pub(super) fn assert_over_by(&self, deadline: Duration) {
        loop {
            let now = boottime();
            if !self.is_running() {
                return;
            }
            assert!(
                now < deadline,
                "the command runs {:?} after its deadline",
                now - deadline
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The next command: logs when it started, if nothing of its predecessor is left.
///
/// The first column of /proc/uptime is `CLOCK_BOOTTIME`, in hundredths of a second.
pub(super) const NEXT: &str = r#"for pid in $(cat first second third); do
    kill -0 $pid 2>/dev/null && { echo -1 >next; exit 1; }
done
cut -d' ' -f1 /proc/uptime | tr -d . >next"#;

fn next(kubeconfig: &Path, directory: &Path) -> (Kept, PathBuf) {
    next_by(lockheed(kubeconfig), directory)
}

pub(super) fn next_by(mut command: Command, directory: &Path) -> (Kept, PathBuf) {
    command.args(["run", "x", "--duration", "6s", "--", "sh", "-c", NEXT]);
    (
        Kept::spawn(command.current_dir(directory)),
        directory.join("next"),
    )
}

pub(super) fn began(file: &Path) -> Duration {
    let hundredths = u64::try_from(number_in(file));
    Duration::from_millis(10 * hundredths.expect("it began while something of the one before ran"))
}

/// Identifies the lease's current write.
fn lease_seen(place: &Place) -> String {
    place.object("x")["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned()
}

// Holds lockheed-6.
#[test]
#[ignore = "no cluster"]
fn after_a_killed_holder_the_next_begins_when_the_lease_is_over() {
    let place = Place::new();
    let begun = boottime();
    let mut holder = Holder::start(&place.user, &["--renew-interval", "0"]);
    let held = boottime();
    let (mut waiting, file) = next(&place.user, holder.directory.path());
    thread::sleep(Duration::from_secs(1));
    holder.process.signal(Signal::SIGKILL);
    holder.process.0.wait().unwrap();
    eventually("the whole tree is gone", || !holder.is_running());
    let next = began(&file);
    assert!(
        next >= begun + LEASE,
        "{:?} before the end of the lease",
        begun + LEASE - next
    );
    assert!(
        next <= held + LEASE + Duration::from_secs(2),
        "{:?} too late",
        next - held - LEASE
    );
    assert!(waiting.0.wait().unwrap().success());
}

#[test]
#[ignore = "no cluster"]
fn after_a_killed_holder_that_renewed_too() {
    kill_a_holder_that_renewed(&Place::new());
}

pub(super) fn kill_a_holder_that_renewed(place: &Place) {
    let mut holder = Holder::by(place.lockheed(), &[]);
    let first = lease_seen(place);
    let (mut waiting, file) = next_by(place.lockheed(), holder.directory.path());
    eventually("the lease is renewed", || lease_seen(place) != first);
    holder.process.signal(Signal::SIGKILL);
    let killed = boottime();
    holder.process.0.wait().unwrap();
    eventually("the whole tree is gone", || !holder.is_running());
    let next = began(&file);
    assert!(
        next <= killed + LEASE + Duration::from_secs(2),
        "{:?} too late",
        next - killed - LEASE
    );
    assert!(waiting.0.wait().unwrap().success());
}

// Holds lockheed-1.
#[test]
#[ignore = "no cluster"]
fn a_stopped_holders_work_has_ended_by_its_deadline() {
    stop_a_holder(&Place::new());
}

pub(super) fn stop_a_holder(place: &Place) {
    let mut holder = Holder::by(place.lockheed(), &[]);
    let (mut waiting, file) = next_by(place.lockheed(), holder.directory.path());
    holder.process.signal(Signal::SIGSTOP);
    let stopped = boottime();
    holder.assert_over_by(stopped + LEASE);
    // It is still stopped, so its guard ended the command.
    let stat = fs::read_to_string(format!("/proc/{}/stat", holder.process.pid())).unwrap();
    assert!(stat.rsplit_once(") ").unwrap().1.starts_with('T'), "{stat}");
    began(&file);
    assert!(waiting.0.wait().unwrap().success());
    holder.process.signal(Signal::SIGCONT);
    let status = holder.process.0.wait().unwrap();
    assert_eq!(status.code(), Some(122), "{}", holder.log());
    assert!(holder.log().contains("lost"), "{}", holder.log());
}

/// A cluster for one test, which stops it.
pub(super) struct Own {
    pub(super) cluster: Cluster,
    pub(super) namespace: String,
    pub(super) user: PathBuf,
    _directory: tempfile::TempDir,
}

pub(super) fn own() -> Own {
    let directory = tempfile::tempdir().unwrap();
    let binaries = Binaries::installed().unwrap();
    let cluster = Cluster::start(
        &binaries,
        &directory.path().join("cluster"),
        Lives::WithThread,
    )
    .unwrap();
    let namespace = Namespace::within(cluster.directory());
    let user = holder(&namespace);
    let name = namespace.name().to_owned();
    // It is removed with the cluster.
    std::mem::forget(namespace);
    Own {
        cluster,
        namespace: name,
        user,
        _directory: directory,
    }
}

// Holds lockheed-3.
#[test]
#[ignore = "no cluster"]
fn with_an_api_server_that_stops_for_longer_than_the_lease_the_work_ends_by_its_deadline() {
    let own = own();
    let mut holder = Holder::start(&own.user, &[]);
    own.cluster.apiserver().stop();
    let stopped = boottime();
    holder.assert_over_by(stopped + LEASE);
    let status = holder.process.0.wait().unwrap();
    assert_eq!(status.code(), Some(122), "{}", holder.log());
    own.cluster.apiserver().cont();
    let (mut waiting, file) = next(&own.user, holder.directory.path());
    began(&file);
    assert!(waiting.0.wait().unwrap().success());
}

#[test]
#[ignore = "no cluster"]
fn an_api_server_that_stops_for_less_than_the_lease_disturbs_nothing() {
    let own = own();
    // Afterwards, the server may take long on a busy machine.
    let renewing = ["--renew-interval", "1s"];
    let holder = Holder::with_a_lease_of("60s", lockheed(&own.user), &renewing);
    for _ in 0..3 {
        own.cluster.apiserver().stop();
        thread::sleep(Duration::from_secs(2));
        own.cluster.apiserver().cont();
        thread::sleep(Duration::from_secs(2));
    }
    assert!(
        holder.tree.iter().all(|pid| is_alive(*pid)),
        "{}",
        holder.log()
    );
    let listed = lockheed(&own.user)
        .args(["list", "-o", "name"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "x\n");
    holder.process.signal(Signal::SIGTERM);
}

#[test]
#[ignore = "no cluster"]
fn a_waiter_outlives_an_api_server_that_goes_and_comes_back() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let holder = lockheed(&place.user)
        .args(["acquire", "x", "--id", "us", "--duration", "1h"])
        .output()
        .unwrap();
    assert!(holder.status.success(), "{holder:?}");
    let mut command = lockheed(&kubeconfig);
    command
        .args(["-v", "run", "x", "--", "true"])
        .stderr(fs::File::create(&log).unwrap());
    let mut waiting = Kept::spawn(&mut command);
    let logged = |what: &str| fs::read_to_string(&log).unwrap().matches(what).count();
    eventually("it waits", || logged("waiting: it is held by \"us\"") == 1);
    proxy.set(apiserver::Fault::Cut);
    proxy.cut_open_connections();
    eventually("it says that the server is away", || {
        logged("does not answer") == 1
    });
    thread::sleep(Duration::from_secs(3));
    proxy.set(apiserver::Fault::None);
    eventually("it says that the server is back", || {
        logged("answers again") == 1
    });
    assert_eq!(logged("does not answer"), 1);
    let released = lockheed(&place.user)
        .args(["release", "x", "--id", "us"])
        .status()
        .unwrap();
    assert!(released.success());
    assert!(waiting.0.wait().unwrap().success());
}

#[test]
#[ignore = "no cluster"]
fn a_server_that_never_answered_is_an_error_after_half_a_minute() {
    let place = Place::new();
    let proxy = Proxy::start(&place.user);
    proxy.set(apiserver::Fault::Cut);
    let kubeconfig = proxy.kubeconfig(place.namespace.directory(), place.namespace.name());
    let begun = boottime();
    let output = lockheed(&kubeconfig)
        .args(["run", "x", "--", "true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(boottime() - begun >= Duration::from_secs(30));
}

/// Processes of a shell are also ended when the holder is killed a moment after it started.
// Holds lockheed-3.
#[test]
#[ignore = "no cluster"]
fn a_holder_killed_at_any_moment_leaves_no_command_behind() {
    let place = Place::new();
    for delay in [0, 20, 40, 60, 80, 120, 200] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = lockheed(&place.user);
        let name = format!("killed-{delay}");
        command.args([
            "run",
            &name,
            "--duration",
            "2s",
            "--",
            "sh",
            "-c",
            "echo $$ >pid; exec sleep 1000",
        ]);
        let mut holder = Kept::spawn(command.current_dir(directory.path()).stderr(Stdio::null()));
        thread::sleep(Duration::from_millis(delay));
        holder.signal(Signal::SIGKILL);
        holder.0.wait().unwrap();
        let next = lockheed(&place.user)
            .args([
                "run",
                &name,
                "--duration",
                "2s",
                "--wait",
                "30s",
                "--",
                "true",
            ])
            .output()
            .unwrap();
        assert!(next.status.success(), "{next:?}");
        let pid = fs::read_to_string(directory.path().join("pid"))
            .ok()
            .and_then(|pid| pid.trim().parse().ok());
        assert!(!pid.is_some_and(is_alive), "killed after {delay} ms");
    }
}
