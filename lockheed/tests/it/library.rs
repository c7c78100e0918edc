//! The library, within one process.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use coord_core::Errno;
use lockheed::{
    Event, Held, LeaseLost, Lock, MemoryStore, Store, Wait,
    store::{DirStore, Object},
};
use tokio::{runtime::Runtime, sync::Notify, time::timeout};

use crate::support::WATCHDOG;

fn lock(store: &Arc<MemoryStore>) -> Lock<Arc<MemoryStore>> {
    Lock::new(store.clone(), "x".parse().unwrap())
}

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    Runtime::new()
        .unwrap()
        .block_on(async { timeout(WATCHDOG, work).await.unwrap() })
}

async fn holders<S: Store>(store: &S) -> Vec<String> {
    let state = lockheed::inspect(store, &"x".parse().unwrap())
        .await
        .unwrap();
    state.holders().map(|lease| lease.holder.clone()).collect()
}

#[test]
fn one_holds_and_the_other_waits() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        let first = lock(&store).acquire().await.unwrap();
        let error = lock(&store).try_acquire().await.unwrap_err();
        assert_eq!(error.errno(), Errno::EBUSY);
        let error = lock(&store)
            .acquire_within(Duration::from_millis(20))
            .await
            .unwrap_err();
        assert_eq!(error.errno(), Errno::ETIMEDOUT);
        let wanted = lock(&store);
        let (second, ()) = tokio::join!(wanted.acquire(), async {
            let token = first.token();
            first.release().await.unwrap();
            assert!(token.get() > 0);
        });
        assert_eq!(holders(&*store).await, [second.unwrap().id()]);
    });
}

#[test]
fn a_lost_lock_is_told_and_cannot_be_renewed() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        let held = lock(&store)
            .duration(Duration::from_millis(200))
            .acquire()
            .await
            .unwrap();
        assert!(!held.is_lost());
        assert_eq!(held.lost().await, LeaseLost::Expired);
        assert!(held.is_lost());
        let error = held.renew().await.unwrap_err();
        assert_eq!(
            (error.errno(), error.lost()),
            (Errno::ESTALE, Some(LeaseLost::Expired))
        );
        held.release().await.unwrap();
        assert_eq!(holders(&*store).await, Vec::<String>::new());
    });
}

#[test]
fn a_lock_that_is_broken_or_deleted_is_lost_at_once() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        let name = "x".parse().unwrap();
        let held = lock(&store).acquire().await.unwrap();
        let broken = lockheed::break_lock(&*store, &name, None)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(broken[0].holder, held.id());
        assert_eq!(held.lost().await, LeaseLost::Taken);
        held.release().await.unwrap();
        let held = lock(&store).acquire().await.unwrap();
        store
            .delete(&store.get(&name).await.unwrap())
            .await
            .unwrap();
        assert_eq!(held.lost().await, LeaseLost::Deleted);
        held.release().await.unwrap();
    });
}

#[test]
fn renewal_runs_by_itself_and_by_hand() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        let length = Duration::from_secs(30);
        let held = lock(&store)
            .duration(length)
            .renew_interval(Duration::from_millis(20))
            .acquire()
            .await
            .unwrap();
        let mut deadline = held.deadline();
        for _ in 0..10 {
            let later = held.deadline_after(deadline).await.unwrap();
            assert!(later > deadline);
            deadline = later;
        }
        held.release().await.unwrap();
        let held = lock(&store)
            .duration(Duration::from_secs(3600))
            .acquire()
            .await
            .unwrap();
        let before = held.deadline();
        held.renew().await.unwrap();
        assert!(held.deadline() > before);
    });
}

#[test]
fn dropping_releases_and_detaching_does_not() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        drop(lock(&store).acquire().await.unwrap());
        let held = lock(&store).id("me").acquire().await.unwrap();
        let token = held.token();
        held.detach();
        assert_eq!(holders(&*store).await, ["me"]);
        assert_eq!(
            lock(&store).id("me").acquire().await.unwrap().token(),
            token
        );
        lock(&store).id("me").release().await.unwrap();
    });
}

#[test]
fn an_acquisition_that_is_dropped_or_cancelled_leaves_nothing() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        let held = lock(&store).acquire().await.unwrap();
        let wanted = lock(&store);
        assert!(
            timeout(Duration::from_millis(20), wanted.acquire())
                .await
                .is_err()
        );
        let (cancel, cancelled) = tokio::sync::oneshot::channel::<()>();
        let cancelled = async {
            let _ = cancelled.await;
        };
        let cancelled = wanted.acquire_unless(Wait::Forever, cancelled);
        let (result, ()) = tokio::join!(cancelled, async { drop(cancel) });
        assert_eq!(result.unwrap_err().errno(), Errno::ECANCELED);
        // Each call has its own cancellation.
        let at_once = wanted.acquire_unless(Wait::Forever, std::future::ready(()));
        assert_eq!(at_once.await.unwrap_err().errno(), Errno::ECANCELED);
        let id = held.id().to_owned();
        assert_eq!(holders(&*store).await, [id]);
        held.release().await.unwrap();
        assert_eq!(holders(&*store).await, Vec::<String>::new());
    });
}

/// This holds even if nobody has the lock: whether the acquisition or the cancellation comes first,
/// the caller gets the same answer.
#[test]
fn what_was_cancelled_before_is_never_acquired() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        lock(&store)
            .acquire()
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        for _ in 0..300 {
            let wanted = lock(&store);
            let cancelled = wanted.acquire_unless(Wait::Forever, std::future::ready(()));
            assert_eq!(cancelled.await.unwrap_err().errno(), Errno::ECANCELED);
            assert_eq!(holders(&*store).await, Vec::<String>::new());
        }
    });
}

#[test]
fn retries_are_counted() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        let _held = lock(&store).acquire().await.unwrap();
        let failures = Arc::new(Mutex::new(0));
        let counted = failures.clone();
        let wanted = lock(&store)
            .retry(3, Duration::from_millis(1))
            .on_event(move |event| {
                if event.code() == 513 {
                    *counted.lock().unwrap() += 1;
                }
            });
        assert!(wanted.try_acquire().await.is_err());
        assert_eq!(*failures.lock().unwrap(), 4);
    });
}

/// A cancellation also ends the pause before a retry, and a hopeless attempt is not retried.
#[test]
fn retries_end_with_the_cancellation_and_with_what_is_final() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        let _held = lock(&store).acquire().await.unwrap();
        let failed = Arc::new(Notify::new());
        let notice = failed.clone();
        let wanted = lock(&store)
            .retry(3, Duration::from_secs(3600))
            .on_event(move |event| {
                if event.code() == 513 {
                    notice.notify_one();
                }
            });
        let cancelled = wanted.acquire_unless(Wait::No, failed.notified());
        assert_eq!(cancelled.await.unwrap_err().errno(), Errno::ECANCELED);
        let unnamed = lock(&store).id("").retry(3, Duration::from_secs(3600));
        let error = unnamed.try_acquire().await.unwrap_err();
        assert_eq!(error.errno(), Errno::EINVAL);
    });
}

#[test]
fn events_have_the_codes_of_go_programs() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        let codes = Arc::new(Mutex::new(Vec::new()));
        let seen = codes.clone();
        let held = lock(&store)
            .duration(Duration::from_secs(3600))
            .renew_interval(Duration::from_secs(1200))
            .on_event(move |event: &Event| seen.lock().unwrap().push(event.code()))
            .acquire()
            .await
            .unwrap();
        held.renew().await.unwrap();
        held.release().await.unwrap();
        assert_eq!(*codes.lock().unwrap(), [213, 214, 211, 212]);
    });
}

#[test]
fn fifty_tasks_count_without_losing_one() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        let counter = Arc::new(Mutex::new((0_u32, 0_u64)));
        let worker = |store: Arc<MemoryStore>, counter: Arc<Mutex<(u32, u64)>>| async move {
            for _ in 0..5 {
                let held: Held = lock(&store)
                    .duration(Duration::from_secs(60))
                    .acquire()
                    .await
                    .unwrap();
                let (before, token) = *counter.lock().unwrap();
                assert!(held.token().get() > token);
                tokio::task::yield_now().await;
                *counter.lock().unwrap() = (before + 1, held.token().get());
                held.release().await.unwrap();
            }
        };
        let workers: Vec<_> = (0..50)
            .map(|_| tokio::spawn(worker(store.clone(), counter.clone())))
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        assert_eq!(counter.lock().unwrap().0, 250);
    });
}

#[test]
fn a_proof_of_life_frees_the_lock_when_it_is_dropped() {
    on_runtime(async {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(DirStore::open(dir.path()).unwrap());
        let proof = store.prove_life().unwrap();
        let wanted = |store: &Arc<DirStore>| -> Lock<Arc<DirStore>> {
            Lock::new(store.clone(), "x".parse().unwrap())
        };
        wanted(&store)
            .proof_of_life(&proof)
            .acquire()
            .await
            .unwrap()
            .detach();
        assert_eq!(
            wanted(&store).try_acquire().await.unwrap_err().errno(),
            Errno::EBUSY
        );
        let next = wanted(&store);
        let (next, ()) = tokio::join!(next.acquire(), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(proof);
        });
        assert_eq!(holders(&*store).await, [next.unwrap().id()]);
    });
}

/// Types that are shared between threads, or sent to one.
#[test]
fn the_types_can_be_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<Lock<MemoryStore>>();
    shared::<Held>();
    shared::<lockheed::Error>();
    shared::<Event>();
}

#[test]
fn errors_are_told_apart_without_another_crate() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        let _held = lock(&store).acquire().await.unwrap();
        let error = lock(&store).try_acquire().await.unwrap_err();
        assert_eq!(error.kind(), lockheed::ErrorKind::Held);
        assert_eq!(error.errno(), lockheed::Errno::EBUSY);
        let limit = Duration::from_millis(1);
        let error = lock(&store).acquire_within(limit).await.unwrap_err();
        assert_eq!(error.kind(), lockheed::ErrorKind::TimedOut);
        let error = lock(&store).id("").try_acquire().await.unwrap_err();
        assert_eq!(error.kind(), lockheed::ErrorKind::Invalid);
    });
}

#[test]
fn an_object_that_was_made_beforehand_is_free_and_kept() {
    on_runtime(async {
        let store = Arc::new(MemoryStore::new());
        let mut made = Object::new(&"x".parse().unwrap());
        made.data.insert("theirs".to_owned(), "kept".to_owned());
        store.create(&made).await.unwrap();
        let state = lockheed::inspect(&*store, &made.name).await.unwrap();
        assert!(!state.is_held());
        let held = lock(&store).acquire().await.unwrap();
        assert_eq!(holders(&*store).await, [held.id()]);
        held.release().await.unwrap();
        assert_eq!(store.get(&made.name).await.unwrap().data["theirs"], "kept");
        let error = lockheed::delete_lock(&*store, &made.name, None)
            .await
            .unwrap_err();
        assert_eq!(error.errno(), Errno::EINVAL);
        assert!(error.to_string().contains("\"theirs\""), "{error}");
    });
}
