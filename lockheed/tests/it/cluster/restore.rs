//! An etcd that is restored to an earlier state while locks are held and waited for.

use std::{path::Path, process::Stdio};

use apiserver::audit::requests;
use lockheed::{
    LockName,
    store::{Object, Store},
};
use testkit::{
    eventually,
    process::{Kept, outcome},
};

use super::{crash, lockheed, store};

/// Holds a lock for so long that it is not renewed meanwhile; reports that in a file.
fn holding(user: &Path, name: &str, file: &Path) -> Kept {
    let mut run = lockheed(user);
    run.args(["run", name, "--duration", "1h", "--", "sh", "-c"]);
    run.args(["echo >\"$0\"; exec sleep 1000"]).arg(file);
    let holder = Kept::spawn(run.stderr(Stdio::piped()));
    eventually("it is held", || file.exists());
    holder
}

/// Writes some hundred times: an answer counts as old only if its version is lower.
async fn write_often(user: &Path) {
    let store = store(user, "lockheed-tests/0").await;
    let name: LockName = "other".parse().unwrap();
    let mut object = store.create(&Object::new(&name)).await.unwrap();
    for number in 0..300 {
        object.data.insert("n".to_owned(), number.to_string());
        object = store.update(&object).await.unwrap();
    }
}

// Holds lockheed-9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn who_held_a_lock_since_the_backup_has_lost_it_and_nobody_storms_the_server() {
    let mut own = crash::own();
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let free = outcome(lockheed(&own.user).args(["run", "since", "--", "true"]));
    assert_eq!(free.0, 0, "{free:?}");
    let before = holding(&own.user, "before", &path("before"));
    own.cluster.back_up(&path("backup")).unwrap();

    write_often(&own.user).await;
    let since = holding(&own.user, "since", &path("since"));
    let mut run = lockheed(&own.user);
    let waiter = Kept::spawn(run.args(["run", "since", "--", "true"]));
    let (run_directory, namespace) = (own.cluster.directory().to_owned(), own.namespace.clone());
    let asked = || {
        let all = requests(&run_directory, &namespace).unwrap();
        let by_us = |agent: &str| agent.starts_with("lockheed/");
        all.iter()
            .filter(|request| by_us(&request.user_agent))
            .count()
    };
    let earlier = asked();
    own.cluster.restore(&path("backup")).unwrap();

    let (status, _, errors) = since.finish();
    assert_eq!(status, 122, "{errors}");
    assert!(errors.contains("put back to an earlier state"), "{errors}");
    assert_eq!(waiter.finish().0, 0);
    let asked = asked() - earlier;
    assert!(asked < 100, "{asked} requests of three clients");

    // What was written before the backup is unchanged.
    assert!(testkit::process::is_alive(before.pid()));
    before.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(before.finish().0, 143);
    let next = outcome(lockheed(&own.user).args(["run", "before", "--no-wait", "--", "true"]));
    assert_eq!(next.0, 0, "{next:?}");
}
