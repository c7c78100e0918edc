//! Many contenders for the same lock.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use cmlock::{Client, Lock};

use crate::support::{AGENT, Place, client, soon};

/// What the critical sections count.
#[derive(Default)]
struct Sections {
    inside: AtomicU32,
    done: AtomicU32,
}

impl Sections {
    async fn run(self: Arc<Self>, client: Client, times: u32) {
        let lock = Lock::new(&client, "x");
        for _ in 0..times {
            let held = lock.acquire().await.unwrap();
            assert_eq!(self.inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
            tokio::task::yield_now().await;
            assert!(!held.is_lost());
            self.inside.fetch_sub(1, Ordering::SeqCst);
            held.release().await.unwrap();
            self.done.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn all(clients: Vec<Client>, times: u32) {
    let sections = Arc::new(Sections::default());
    let expected = times * u32::try_from(clients.len()).unwrap();
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(Arc::clone(&sections).run(client, times)))
        .collect();
    for task in tasks {
        tokio::time::timeout(std::time::Duration::from_secs(400), task)
            .await
            .expect("somebody is not served")
            .unwrap();
    }
    assert_eq!(sections.done.load(Ordering::SeqCst), expected);
}

// Holds cmlock-1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn twenty_pods_exclude_each_other_and_are_all_served() {
    let names: Vec<String> = (0..20).map(|number| format!("pod-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = Place::with_pods(&names);
    let mut clients = Vec::new();
    for name in &names {
        clients.push(client(&place.user, name, AGENT).await);
    }
    all(clients, 50).await;
    assert!(!place.exists("x"));
    let requests = place.requests(AGENT, 2_000);
    let count = |verb: &str| {
        let lock = requests.iter().filter(|it| it.resource == "configmaps");
        lock.filter(|it| it.verb == verb).count()
    };
    let lost = count("create") - 1_000;
    assert_eq!(count("delete"), 1_000);
    assert!(lost <= 4_000, "{lost} creations came too late");
    // Nobody polls: contenders that were too late read the object, and each reads it once before a
    // watch begins.
    let (reads, watches) = (count("get"), count("watch"));
    assert!(
        reads <= lost + 40 && watches < 4_000,
        "{reads} reads, {watches} watches, {lost} creations too late"
    );
}

// Holds cmlock-1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "no cluster"]
async fn two_in_one_pod_exclude_each_other() {
    let place = Place::with_pods(&["a"]);
    let one = place.client("a").await;
    // The second client shares everything but the holder's ID; the third shares only the Pod.
    let clients = vec![one.clone(), one, place.client("a").await];
    soon(all(clients, 25)).await;
}
