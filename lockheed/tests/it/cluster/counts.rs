//! What a lock costs: requests, as counted by the API server, and the time of a hand-off.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use apiserver::{Front, audit::Request};
use lockheed::{KubeStore, Lock};
use testkit::{eventually, process::Kept};
use tokio::{sync::Mutex, task::JoinSet};

use super::{
    Place,
    floor::{self, HELD},
    lock, store,
};

/// The verbs of one contender's requests, once there are this many.
fn verbs(place: &Place, agent: &str, at_least: usize) -> Vec<String> {
    let ours = || -> Vec<Request> {
        let all = place.namespace.requests().into_iter();
        all.filter(|request| request.user_agent == agent).collect()
    };
    eventually("the requests are in the audit log", || {
        ours().len() >= at_least
    });
    ours().into_iter().map(|request| request.verb).collect()
}

fn count(verbs: &[String], verb: &str) -> usize {
    verbs.iter().filter(|other| *other == verb).count()
}

#[tokio::test]
#[ignore = "no cluster"]
async fn a_holder_makes_one_request_for_each_thing() {
    let place = Place::new();
    let store = store(&place.user, "holder/1").await;
    for (round, write) in [(1, "create"), (2, "update")] {
        let before = if round == 1 {
            0
        } else {
            verbs(&place, "holder/1", 0).len()
        };
        let held = lock(store.clone(), "x", "us").acquire().await.unwrap();
        held.renew().await.unwrap();
        held.renew().await.unwrap();
        held.release().await.unwrap();
        let mut all = verbs(&place, "holder/1", before + 6).split_off(before);
        // The server logs a watch when it has started, which may be a moment later.
        all.sort();
        let mut expected = vec!["get", write, "update", "update", "update", "watch"];
        expected.sort_unstable();
        assert_eq!(all, expected, "round {round}");
    }
}

// Holds lockheed-7.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "no cluster"]
async fn a_waiter_waits_with_one_watch() {
    let place = Place::new();
    let held = lock(place.store().await, "x", "us")
        .acquire()
        .await
        .unwrap();
    let waiter = store(&place.user, "waiter/1").await;
    let waiting = tokio::spawn(async move { lock(waiter, "x", "other").acquire().await });
    verbs(&place, "waiter/1", 2);
    for _ in 0..5 {
        held.renew().await.unwrap();
    }
    assert!(!waiting.is_finished());
    assert_eq!(verbs(&place, "waiter/1", 2), ["get", "watch"]);
    held.release().await.unwrap();
    let next = waiting.await.unwrap().unwrap();
    let all = verbs(&place, "waiter/1", 3);
    assert_eq!(
        (
            count(&all, "get"),
            count(&all, "watch"),
            count(&all, "update")
        ),
        (1, 1, 1),
        "{all:?}"
    );
    next.release().await.unwrap();
}

/// The times of each hand-off: when the release began, and when the next holder had the lock.
#[derive(Default)]
struct Log {
    released: Option<Instant>,
    handoffs: Vec<Duration>,
}

/// How often each contender gets the lock.
#[derive(Clone, Copy)]
enum Turns {
    One,
    /// A contender that had it waits for it again, until it was handed on this often.
    Until(usize),
}

/// Lets this many contenders wait for a held lock, and then hand it on this many times. Returns the
/// times, and the number of writes that were tried.
async fn contend(
    place: &Place,
    waiters: usize,
    turns: Turns,
    fair: bool,
) -> (Vec<Duration>, usize) {
    let handoffs = match turns {
        Turns::One => waiters,
        Turns::Until(handoffs) => handoffs,
    };
    let log = Arc::new(Mutex::new(Log::default()));
    // Without an end: it must outlast all who come, however busy the machine is.
    let first = Lock::new(place.store().await, super::name("x")).id("first");
    let first = first.acquire().await.unwrap();
    let watches = || watching(place);
    let before = watches();
    let (queue, name) = (place.store().await, super::name("x"));
    let waiting = async || {
        let state = lockheed::inspect(&queue, &name).await;
        state.map_or(0, |state| state.waiting.len())
    };
    let mut tasks = JoinSet::new();
    for number in 0..waiters {
        let (store, log) = (store(&place.user, "contender/1").await, Arc::clone(&log));
        tasks.spawn(contender(store, number, log, turns, fair));
        // Not all at once: a server that has too much to do would refuse some.
        while fair && waiting().await <= number {
            pause(&mut tasks, Duration::from_millis(5)).await;
        }
    }
    while watches() < before + waiters {
        pause(&mut tasks, Duration::from_millis(20)).await;
    }
    let written = writes(place);
    log.lock().await.released = Some(Instant::now());
    first.release().await.unwrap();
    while log.lock().await.handoffs.len() < handoffs {
        pause(&mut tasks, Duration::from_millis(1)).await;
    }
    // Each hand-off also has a release.
    let tried = writes(place) - written - handoffs;
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let mut log = log.lock().await;
    (std::mem::take(&mut log.handoffs), tried)
}

/// Pauses, unless a contender has failed: the others would wait for it forever.
async fn pause(tasks: &mut JoinSet<()>, length: Duration) {
    while let Some(ended) = tasks.try_join_next() {
        ended.unwrap();
    }
    tokio::time::sleep(length).await;
}

async fn contender(
    store: KubeStore,
    number: usize,
    log: Arc<Mutex<Log>>,
    turns: Turns,
    fair: bool,
) {
    let mut done = false;
    while !done {
        let wanted = lock(store.clone(), "x", &format!("contender-{number}"));
        let wanted = if fair { wanted.fair() } else { wanted };
        let held = wanted.acquire().await.unwrap();
        let mut now = log.lock().await;
        let released = now.released.take();
        now.handoffs
            .extend(released.map(|released| released.elapsed()));
        done = match turns {
            Turns::One => true,
            Turns::Until(handoffs) => now.handoffs.len() >= handoffs,
        };
        drop(now);
        // Long enough for all the others to see who has it now.
        tokio::time::sleep(HELD).await;
        log.lock().await.released = Some(Instant::now());
        held.release().await.unwrap();
        // By then somebody else has it.
        tokio::time::sleep(HELD).await;
    }
}

/// How many contenders are or were waiting.
fn watching(place: &Place) -> usize {
    let requests = place.namespace.requests();
    requests
        .iter()
        .filter(|it| it.user_agent == "contender/1" && it.verb == "watch")
        .count()
}

/// How many writes the server has received.
fn writes(place: &Place) -> usize {
    let wrote = |request: &&Request| ["update", "create"].contains(&&*request.verb);
    place.namespace.requests().iter().filter(wrote).count()
}

/// The times of PUTs at the pace of releases, because an idle server is slower than a busy one.
async fn puts(place: &Place) -> Vec<Duration> {
    let held = lock(place.store().await, "alone", "us")
        .acquire()
        .await
        .unwrap();
    let mut times = Vec::new();
    for _ in 0..30 {
        tokio::time::sleep(HELD).await;
        let begun = Instant::now();
        held.renew().await.unwrap();
        times.push(begun.elapsed());
    }
    held.release().await.unwrap();
    times
}

fn median(times: Vec<Duration>) -> Duration {
    quantiles(times).0
}

/// The median, and the value that at most one in a hundred exceeds.
fn quantiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// The median hand-off among this many contenders, one of which holds the lock, as a multiple of a
/// PUT's median.
async fn hand_off(place: &Place, contenders: usize) -> f64 {
    let put = median(puts(place).await);
    let (handoffs, _) = contend(place, contenders, Turns::Until(60), false).await;
    let (handoff, most) = quantiles(handoffs);
    let ratio = handoff.as_secs_f64() / put.as_secs_f64();
    println!(
        "{contenders} contenders: hand-off p50 {handoff:?}, p99 {most:?}, PUT p50 {put:?}: {ratio:.1}"
    );
    ratio
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "no cluster"]
async fn a_hand_off_among_ten_costs_a_few_writes_of_time() {
    let place = Place::new();
    // This one is only reported: between two, it would measure how busy the machine is.
    hand_off(&place, 2).await;
    let mut ratios = Vec::new();
    // Another test may keep the machine busy at some time, but a lock that polls would always be
    // slow.
    while !ratios.iter().any(|ratio| *ratio <= 4.0) {
        assert!(ratios.len() < 5, "{ratios:.1?} times a PUT");
        ratios.push(hand_off(&place, 10).await);
    }
}

/// A process that waits for a lock, acquires it, and runs a command under it.
fn run(kubeconfig: &std::path::Path, place: &Place, name: &str) -> Kept {
    let end = place
        .namespace
        .directory()
        .join(format!("{}-{name}", place.namespace.name()));
    let script = format!("while ! [ -e {} ]; do sleep 0.1; done", end.display());
    let mut command = super::lockheed(kubeconfig);
    // A busy machine may answer late. A request that takes a sixth of this breaks the connection.
    command.args(["run", "x", "--duration", "15s", "--", "sh", "-c", &script]);
    Kept::spawn(&mut command)
}

#[test]
#[ignore = "no cluster"]
fn a_process_has_one_connection_while_it_waits_takes_over_and_holds() {
    let place = Place::new();
    let fronts = [
        Front::before(&place.namespace),
        Front::before(&place.namespace),
    ];
    let file = |name| {
        place
            .namespace
            .directory()
            .join(format!("{}-{name}", place.namespace.name()))
    };
    let mut first = run(&fronts[0].kubeconfig(&place.user), &place, "first");
    let holders = |so_many| {
        eventually("somebody holds it", || {
            let writes = place.namespace.requests();
            writes
                .iter()
                .filter(|it| ["update", "create"].contains(&&*it.verb))
                .count()
                >= so_many
        });
    };
    holders(1);
    let mut second = run(&fronts[1].kubeconfig(&place.user), &place, "second");
    // It waits while the first one renews its lease.
    eventually("it waits", || fronts[1].accepted() > 0);
    holders(3);
    std::fs::write(file("first"), "").unwrap();
    assert_eq!(first.status(), 0);
    // It has taken over, and renews.
    let before = writes(&place);
    holders(before + 3);
    std::fs::write(file("second"), "").unwrap();
    assert_eq!(second.status(), 0);
    assert_eq!(fronts.each_ref().map(Front::accepted), [1, 1]);
    for name in ["first", "second"] {
        std::fs::remove_file(file(name)).unwrap();
    }
}

// Holds lockheed-8.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "no cluster"]
async fn a_hundred_waiters_do_not_storm_the_server() {
    const WAITERS: usize = 100;
    let place = Place::new();
    let mut rounds = Vec::new();
    // On a very busy machine, everybody sees late what the first one did.
    for _ in 0..5 {
        let (handoffs, tried) = contend(&place, WAITERS, Turns::One, false).await;
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let each = tried as f64 / WAITERS as f64;
        let (half, most) = quantiles(handoffs);
        println!("p50 {half:?}, p99 {most:?}, {each:.1} attempts for each hand-off");
        if each <= 10.0 {
            return;
        }
        rounds.push(each);
    }
    panic!("{rounds:.1?} write attempts for each hand-off");
}

/// The release, which names the next holder, and that holder's write. All other writes keep places
/// in the queue.
// Holds lockheed-8.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "no cluster"]
async fn a_hand_off_among_a_hundred_in_turn_costs_two_writes() {
    const WAITERS: usize = 100;
    let place = Place::new();
    let put = median(puts(&place).await);
    let (half, most) = quantiles(floor::hand_offs(&place, WAITERS).await);
    println!("PUT p50 {put:?}; two PUTs that {WAITERS} hear of: p50 {half:?}, p99 {most:?}");
    let (handoffs, tried) = contend(&place, WAITERS, Turns::One, true).await;
    let (half, most) = quantiles(handoffs);
    println!("hand-off: p50 {half:?}, p99 {most:?}, {tried} writes beside releases");
    assert!(
        tried <= WAITERS * 5 / 4,
        "{tried} writes for {WAITERS} hand-offs"
    );
}
