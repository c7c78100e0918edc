//! Several locks at once, in the library.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use coord_core::{BootInstant, Errno};
use lockheed::{
    DirStore, Error, HeldSet, LeaseLost, Lock, LockName, LockSet, MemoryStore, Store, Wait,
};
use tokio::{
    runtime::Runtime,
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::support::{Place, WATCHDOG};

const LENGTH: Duration = Duration::from_secs(30);

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    Runtime::new()
        .unwrap()
        .block_on(async { timeout(WATCHDOG, work).await.unwrap() })
}

fn name(text: &str) -> LockName {
    text.parse().unwrap()
}

fn lock<S: Store>(store: S, of: &str) -> Lock<S> {
    Lock::new(store, name(of))
        .duration(LENGTH)
        .renew_interval(LENGTH / 3)
}

fn set<S: Store + Clone>(store: &S, names: &[&str]) -> Result<LockSet<S>, Error> {
    LockSet::new(names.iter().map(|name| lock(store.clone(), name)))
}

/// The holder of each of these locks.
async fn holders<S: Store>(store: &S, names: &[&str]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for of in names {
        let Ok(state) = lockheed::inspect(store, &name(of)).await else {
            continue;
        };
        let holders = state.holders().map(|lease| lease.holder.clone());
        all.extend(holders.map(|holder| ((*of).to_owned(), holder)));
    }
    all
}

/// Returns when somebody holds the lock.
async fn held(store: &MemoryStore, of: &str) -> String {
    loop {
        if let Some(holder) = holders(store, &[of]).await.remove(of) {
            return holder;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

fn names(held: &HeldSet) -> Vec<&str> {
    held.iter().map(|held| held.name().as_str()).collect()
}

#[test]
fn all_are_held_in_the_order_that_was_given_and_acquired_by_name() {
    on_runtime(async {
        let store = MemoryStore::new();
        let locks = set(&store, &["b", "c", "a"]).unwrap();
        let held = locks.try_acquire().await.unwrap();
        assert_eq!(names(&held), ["b", "c", "a"]);
        let tokens: BTreeMap<_, _> = held
            .iter()
            .map(|held| (held.name(), held.token()))
            .collect();
        assert!(tokens.values().is_sorted(), "{tokens:?}");
        assert!(held.first_lost().is_none());
        let deadlines = held.iter().map(lockheed::Held::deadline);
        assert_eq!(held.deadline(), deadlines.min().unwrap());
        held.release().await.unwrap();
        assert!(holders(&store, &["a", "b", "c"]).await.is_empty());
    });
}

#[test]
fn the_same_lock_twice_is_refused_and_none_is_nothing_to_lose() {
    on_runtime(async {
        let store = MemoryStore::new();
        let error = set(&store, &["b", "a", "b"]).err().unwrap();
        assert_eq!(
            (error.errno(), error.to_string().as_str()),
            (Errno::EINVAL, "lock b: it is in this set twice")
        );
        let none = set(&store, &[]).unwrap().try_acquire().await.unwrap();
        assert_eq!((names(&none), none.deadline()), (vec![], None));
        assert!(
            timeout(Duration::from_millis(20), none.lost())
                .await
                .is_err()
        );
        none.release().await.unwrap();
    });
}

#[test]
fn when_one_is_busy_none_is_held() {
    on_runtime(async {
        let store = MemoryStore::new();
        let other = lock(store.clone(), "b").try_acquire().await.unwrap();
        let locks = set(&store, &["c", "a", "b"]).unwrap();
        let error = locks.try_acquire().await.unwrap_err();
        assert_eq!((error.errno(), error.lock()), (Errno::EBUSY, &name("b")));
        let held = [("b".to_owned(), other.id().to_owned())].into();
        assert_eq!(holders(&store, &["a", "b", "c"]).await, held);
        let limit = Duration::from_millis(500);
        let error = locks.acquire_within(limit).await.unwrap_err();
        assert_eq!(error.errno(), Errno::ETIMEDOUT);
        // The message has the whole limit, not what was left of it for this lock.
        let said = error.to_string();
        let start = "could not acquire lock b within 500ms: it is held by ";
        assert!(said.starts_with(start), "{said}");
        assert_eq!(holders(&store, &["a", "b", "c"]).await, held);
    });
}

#[test]
fn the_wait_is_one_for_all() {
    on_runtime(async {
        let store = MemoryStore::new();
        let _second = lock(store.clone(), "b").try_acquire().await.unwrap();
        let limit = Duration::from_millis(600);
        let locks = set(&store, &["a", "b"]).unwrap();
        // On a busy machine it may end later; once in twenty times is enough.
        for _ in 0..20 {
            let first = lock(store.clone(), "a").try_acquire().await.unwrap();
            let started = BootInstant::now();
            let (error, ()) = tokio::join!(locks.acquire_within(limit), async {
                sleep(limit * 2 / 3).await;
                first.release().await.unwrap();
            });
            let waited = BootInstant::now().since(started);
            let said = error.unwrap_err().to_string();
            assert!(said.contains("within 600ms: "), "{said}");
            assert!(waited >= limit, "{waited:?}");
            // Each lock alone would have had the whole limit.
            if said.contains("lock b") && waited < limit * 5 / 3 {
                return;
            }
        }
        panic!("each lock has a limit of its own");
    });
}

#[test]
fn the_first_that_is_lost_is_told() {
    on_runtime(async {
        let store = MemoryStore::new();
        let locks = set(&store, &["a", "b", "c"]).unwrap();
        let held = locks.acquire().await.unwrap();
        let (lost, ()) = tokio::join!(held.lost(), async {
            let broken = lockheed::break_lock(&store, &name("b"), None).await;
            assert_eq!(broken.unwrap().unwrap().len(), 1);
        });
        assert_eq!((lost.0.name(), lost.1), (&name("b"), LeaseLost::Taken));
        assert_eq!(held.lease().lost_because(), Some(LeaseLost::Taken));
        assert_eq!(held.deadline(), Some(BootInstant::BOOT));
        assert!(locks.get(lost.0.name()).is_some() && locks.get(&name("d")).is_none());
        held.release().await.unwrap();
        assert!(holders(&store, &["a", "b", "c"]).await.is_empty());
    });
}

#[test]
fn the_deadline_is_the_first_and_is_kept_without_a_word() {
    on_runtime(async {
        let store = MemoryStore::new();
        let short = Lock::new(store.clone(), name("b")).duration(Duration::from_millis(300));
        let endless = Lock::new(store.clone(), name("c"));
        let locks = LockSet::new([lock(store.clone(), "a"), short, endless]).unwrap();
        let held = locks.acquire().await.unwrap();
        let (lost, why) = held.lost().await;
        assert_eq!((lost.name(), why), (&name("b"), LeaseLost::Expired));
        held.release().await.unwrap();
        assert!(holders(&store, &["a", "b", "c"]).await.is_empty());
    });
}

#[test]
fn an_attempt_that_is_dropped_or_cancelled_leaves_nothing() {
    on_runtime(async {
        let store = MemoryStore::new();
        let other = lock(store.clone(), "b").try_acquire().await.unwrap();
        let locks = set(&store, &["a", "b"]).unwrap();
        let stop = Arc::new(Notify::new());
        let (error, ()) = tokio::join!(
            locks.acquire_unless(Wait::Forever, stop.notified()),
            async {
                held(&store, "a").await;
                stop.notify_one();
            }
        );
        assert_eq!(error.unwrap_err().errno(), Errno::ECANCELED);
        assert_eq!(holders(&store, &["a", "b"]).await.len(), 1);
        tokio::select! {
            _ = locks.acquire() => panic!("it is held"),
            _ = held(&store, "a") => {}
        }
        let next = lock(store.clone(), "a").acquire().await.unwrap();
        drop(next);
        other.release().await.unwrap();
        // Dropping a held set releases it too.
        drop(locks.acquire().await.unwrap());
        while !holders(&store, &["a", "b"]).await.is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        // A caller that cancels from the beginning acquires nothing.
        let error = locks.acquire_unless(Wait::Forever, async {}).await;
        assert_eq!(error.unwrap_err().errno(), Errno::ECANCELED);
        assert!(holders(&store, &["a", "b"]).await.is_empty());
    });
}

/// The cancellation comes at the same moment as a try that is to be repeated.
#[test]
fn a_future_that_cancels_is_not_polled_after_its_end() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let store = MemoryStore::new();
        let _other = lock(store.clone(), "a").try_acquire().await.unwrap();
        for _ in 0..50 {
            let failed = Arc::new(Notify::new());
            let told = failed.clone();
            let wanted = lock(store.clone(), "a").retry(1000, Duration::from_millis(1));
            let wanted = wanted.on_event(move |event| {
                if event.code() == 513 {
                    told.notify_one();
                }
            });
            let cancel = async { failed.notified().await };
            let error = wanted.acquire_unless(Wait::No, cancel).await.unwrap_err();
            assert_eq!(error.errno(), Errno::ECANCELED);
        }
    });
}

/// The other locks are free meanwhile, so their waiters have a turn.
#[test]
fn when_one_is_lost_while_others_are_waited_for_it_starts_over() {
    on_runtime(async {
        let store = MemoryStore::new();
        let last = lock(store.clone(), "c").try_acquire().await.unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let waited_for = |of: &str| {
            let (of, told) = (of.to_owned(), told.clone());
            lock(store.clone(), &of).on_event(move |event| {
                let told_of = format!("{of} {}", event.code());
                told.lock().unwrap().push(told_of);
            })
        };
        let locks = LockSet::new(["a", "b", "c"].map(waited_for)).unwrap();
        let (held, ()) = tokio::join!(locks.acquire(), async {
            held(&store, "b").await;
            let next = lock(store.clone(), "b");
            let ((), next) = tokio::join!(
                async {
                    lockheed::break_lock(&store, &name("a"), None)
                        .await
                        .unwrap();
                },
                next.acquire()
            );
            next.unwrap().release().await.unwrap();
            held(&store, "b").await;
            last.release().await.unwrap();
        });
        let held = held.unwrap();
        assert!(held.first_lost().is_none());
        assert_eq!(names(&held), ["a", "b", "c"]);
        let told = told.lock().unwrap();
        let acquired = |lock: &str| {
            told.iter()
                .filter(|told| **told == format!("{lock} 213"))
                .count()
        };
        assert_eq!(
            (acquired("a"), acquired("b"), acquired("c")),
            (2, 2, 1),
            "{told:?}"
        );
    });
}

/// Many contenders want two or three of the same locks, in any order: all are served, and no lock
/// has two holders.
async fn contend<S: Store + Clone>(stores: Vec<S>) {
    const ORDERS: [&[&str]; 6] = [
        &["a", "b", "c"],
        &["c", "b", "a"],
        &["b", "c"],
        &["c", "a"],
        &["b", "a"],
        &["c", "a", "b"],
    ];
    let busy: Arc<BTreeMap<_, _>> = Arc::new(
        ["a", "b", "c"]
            .map(|name| (name, AtomicBool::new(false)))
            .into(),
    );
    let mut tasks = JoinSet::new();
    for (number, store) in stores.into_iter().enumerate() {
        let busy = busy.clone();
        tasks.spawn(async move {
            let mut random = coord_lease::Random::new(number as u64);
            for _ in 0..20 {
                let order = ORDERS[(random.number() % 6) as usize];
                let held = set(&store, order).unwrap().acquire().await.unwrap();
                let flags = order.iter().map(|name| &busy[name]);
                for flag in flags.clone() {
                    assert!(!flag.swap(true, Ordering::SeqCst));
                }
                tokio::task::yield_now().await;
                for flag in flags {
                    flag.store(false, Ordering::SeqCst);
                }
                held.release().await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[test]
fn ten_who_name_three_locks_in_other_orders_are_all_served() {
    on_runtime(async {
        contend(vec![MemoryStore::new(); 10]).await;
        let place = Place::new();
        let store = || DirStore::open(place.locks()).unwrap();
        contend((0..10).map(|_| store()).collect()).await;
    });
}
