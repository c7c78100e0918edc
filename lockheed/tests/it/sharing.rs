//! Several holders at once, and queues: the same histories on every store.

use std::{
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use lockheed::{
    DirStore, Errno, Held, Lock, LockName, MemoryStore, Mode, Record, Store, inspect,
    store::{RECORD, StoreErrorKind},
};
use tokio::{task::JoinSet, time::timeout};

use crate::support::WATCHDOG;

const LEASE: Duration = Duration::from_secs(30);

/// A store for a history, and a name that nobody else uses.
pub(crate) struct Game<S> {
    store: Arc<S>,
    name: LockName,
}

impl<S> Clone for Game<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            name: self.name.clone(),
        }
    }
}

/// Who holds the lock at the moment.
#[derive(Default)]
struct Inside {
    readers: AtomicUsize,
    writers: AtomicUsize,
    most_readers: AtomicUsize,
    tokens: Mutex<Vec<u64>>,
}

impl<S: Store> Game<S> {
    pub(crate) fn new(store: S, name: &str) -> Self {
        Self {
            store: Arc::new(store),
            name: name.parse().unwrap(),
        }
    }

    fn lock(&self, id: impl Into<String>) -> Lock<Arc<S>> {
        let lock = Lock::new(Arc::clone(&self.store), self.name.clone());
        lock.id(id).duration(LEASE).renew_interval(LEASE / 3)
    }

    async fn waiting(&self) -> Vec<String> {
        let state = inspect(&self.store, &self.name).await.unwrap();
        state.waiting.into_iter().map(|waiter| waiter.id).collect()
    }

    /// Returns when this many are in the queue.
    async fn until_waiting(&self, count: usize) {
        let in_time = timeout(WATCHDOG, async {
            while self.waiting().await.len() != count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        in_time.await.expect("so many wait");
    }

    /// 10 readers that keep coming, and 3 writers: writers are alone, readers are not, and no
    /// writer waits forever.
    pub(crate) async fn readers_and_writers(self, rounds: usize) {
        let inside = Arc::new(Inside::default());
        let over = Arc::new(AtomicBool::new(false));
        let (mut readers, mut writers) = (JoinSet::new(), JoinSet::new());
        for number in 0..10 {
            let (game, inside, over) = (self.clone(), Arc::clone(&inside), Arc::clone(&over));
            readers.spawn(async move {
                let lock = game.lock(format!("reader-{number}")).shared().fair();
                let mut rounds = 0;
                while !over.load(SeqCst) {
                    let held = lock.acquire().await.unwrap();
                    let others = inside.readers.fetch_add(1, SeqCst);
                    inside.most_readers.fetch_max(others + 1, SeqCst);
                    assert_eq!(inside.writers.load(SeqCst), 0, "a writer beside a reader");
                    // The first readers stay until another comes, which may be late on a busy
                    // machine.
                    let since = Instant::now();
                    loop {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                        let are_two = inside.most_readers.load(SeqCst) > 1;
                        if are_two || since.elapsed() > Duration::from_secs(1) {
                            break;
                        }
                    }
                    inside.readers.fetch_sub(1, SeqCst);
                    held.release().await.unwrap();
                    rounds += 1;
                }
                rounds
            });
        }
        for number in 0..3 {
            let (game, inside) = (self.clone(), Arc::clone(&inside));
            writers.spawn(async move {
                let lock = game.lock(format!("writer-{number}")).fair();
                for _ in 0..rounds {
                    let held = lock.acquire().await.unwrap();
                    assert_eq!(inside.writers.fetch_add(1, SeqCst), 0, "two writers");
                    assert_eq!(inside.readers.load(SeqCst), 0, "a reader beside a writer");
                    inside.tokens.lock().unwrap().push(held.token().get());
                    tokio::task::yield_now().await;
                    inside.writers.fetch_sub(1, SeqCst);
                    held.release().await.unwrap();
                }
            });
        }
        timeout(WATCHDOG, writers.join_all())
            .await
            .expect("no writer starves");
        over.store(true, SeqCst);
        let rounds_of_readers = timeout(WATCHDOG, readers.join_all()).await.unwrap();
        assert!(rounds_of_readers.iter().all(|rounds| *rounds > 0));
        assert!(
            inside.most_readers.load(SeqCst) > 1,
            "no two readers at once"
        );
        let tokens = inside.tokens.lock().unwrap();
        assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    }

    /// 12 contenders for 3 slots: never more than 3 at once, and often exactly 3.
    pub(crate) async fn slots(self, rounds: usize) {
        let three = NonZeroU32::new(3).unwrap();
        let (inside, full) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut all = JoinSet::new();
        for number in 0..12 {
            let (game, inside, full) = (self.clone(), Arc::clone(&inside), Arc::clone(&full));
            all.spawn(async move {
                let lock = game.lock(format!("slot-{number}")).slots(three);
                let lock = if number % 2 == 0 { lock.fair() } else { lock };
                for _ in 0..rounds {
                    let held = lock.acquire().await.unwrap();
                    let count = inside.fetch_add(1, SeqCst) + 1;
                    assert!(count <= 3, "{count} hold 3 slots");
                    // The other slots are wanted too, until too few contenders are left.
                    let filled = async {
                        while inside.load(SeqCst) < 3 {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                        full.fetch_add(1, SeqCst);
                    };
                    let _ = timeout(Duration::from_secs(1), filled).await;
                    inside.fetch_sub(1, SeqCst);
                    held.release().await.unwrap();
                }
            });
        }
        timeout(WATCHDOG, all.join_all()).await.unwrap();
        let full = full.load(SeqCst);
        assert!(full * 2 > rounds * 12, "3 only {full} times");
    }

    /// Another number of slots, or another mode, is refused and changes nothing.
    pub(crate) async fn other_numbers(self) {
        let slots = |id: &str, count| self.lock(id).slots(NonZeroU32::new(count).unwrap());
        let held = slots("one", 3).acquire().await.unwrap();
        let before = inspect(&self.store, &self.name).await.unwrap();
        for other in [
            slots("other", 2),
            slots("other", 4),
            self.lock("other").shared(),
        ] {
            let error = other.acquire().await.unwrap_err();
            assert_eq!(error.errno(), Errno::EINVAL, "{error}");
        }
        let error = self.lock("other").try_acquire().await.unwrap_err();
        assert_eq!(error.errno(), Errno::EBUSY, "{error}");
        let after = inspect(&self.store, &self.name).await.unwrap();
        assert_eq!(before.version, after.version);
        assert_eq!(after.record.mode, Mode::Slots(NonZeroU32::new(3).unwrap()));
        held.release().await.unwrap();
        // Nobody holds the lock or waits for it, so the number is not kept.
        slots("other", 2)
            .acquire()
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
    }

    /// All waiters keep their places, and are served in order of arrival.
    pub(crate) async fn in_order(self, count: usize) {
        let held = self.lock("first").acquire().await.unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut all = JoinSet::new();
        for number in 0..count {
            let (game, served) = (self.clone(), Arc::clone(&served));
            all.spawn(async move {
                let held = game
                    .lock(number.to_string())
                    .fair()
                    .acquire()
                    .await
                    .unwrap();
                served.lock().unwrap().push(number);
                held.release().await.unwrap();
            });
            self.until_waiting(number + 1).await;
        }
        held.release().await.unwrap();
        timeout(WATCHDOG, all.join_all()).await.unwrap();
        assert!(self.waiting().await.is_empty());
        assert_eq!(*served.lock().unwrap(), (0..count).collect::<Vec<_>>());
    }

    /// A waiter that gives up, in whatever way, leaves the queue, and the others are served.
    pub(crate) async fn who_gives_up_leaves(self) {
        let held = self.lock("first").acquire().await.unwrap();
        let waits = |id: &str| {
            let lock = self.lock(id).fair();
            tokio::spawn(async move { lock.acquire().await })
        };
        let (one, other) = (waits("one"), waits("other"));
        self.until_waiting(2).await;
        let short = self.lock("short").fair();
        let error = short.acquire_within(Duration::from_millis(300)).await;
        assert_eq!(error.map(drop).unwrap_err().errno(), Errno::ETIMEDOUT);
        assert_eq!(self.waiting().await.len(), 2);
        // Its future is dropped.
        one.abort();
        self.until_waiting(1).await;
        held.release().await.unwrap();
        let held: Held = timeout(WATCHDOG, other).await.unwrap().unwrap().unwrap();
        held.release().await.unwrap();
        let state = inspect(&self.store, &self.name).await.unwrap();
        assert!(!state.is_held() && state.waiting.is_empty(), "{state:?}");
    }

    /// Waiters with a higher priority come first; a waiter that is passed is raised.
    pub(crate) async fn by_priority(self) {
        let held = self.lock("first").acquire().await.unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut all = JoinSet::new();
        for (number, priority) in [0, 2, 0, 2, 5, 2].into_iter().enumerate() {
            let (game, served) = (self.clone(), Arc::clone(&served));
            all.spawn(async move {
                let lock = game.lock(number.to_string()).priority(priority);
                let held = lock.acquire().await.unwrap();
                served.lock().unwrap().push(number);
                held.release().await.unwrap();
            });
            self.until_waiting(number + 1).await;
        }
        held.release().await.unwrap();
        timeout(WATCHDOG, all.join_all()).await.unwrap();
        // By then the third was passed twice, and its rank equals the last one's.
        assert_eq!(*served.lock().unwrap(), [4, 1, 3, 0, 2, 5]);
    }

    /// A program that knows only mutexes stays out while members live, comes in when their leases
    /// are over, and leaves a lock that can be used again.
    pub(crate) async fn beside_a_mutex(self) {
        let members = [self.lock("one").shared(), self.lock("other").shared()];
        let [one, other] = members;
        let (one, other) = (one.acquire().await.unwrap(), other.acquire().await.unwrap());
        let mut object = self.store.get(&self.name).await.unwrap();
        let mut record = Record::from_json(&object.data[RECORD]).unwrap();
        let now = self.store.now().await.unwrap();
        let held = record
            .leases
            .values()
            .filter(|lease| !lease.is_expired(now));
        assert_eq!((record.leases.len(), held.count()), (1, 1));
        one.detach();
        other.detach();
        // It writes what it knows: the leases are over.
        record.leases.clear();
        let lease = lockheed::Lease::new("go", now.plus(LEASE), None);
        record.leases.insert("go".to_owned(), lease);
        object.data.insert(RECORD.to_owned(), record.to_json());
        let object = self.store.update(&object).await.unwrap();
        let error = self.lock("new").shared().try_acquire().await.unwrap_err();
        assert!(error.to_string().contains("held by \"go\""), "{error}");
        let mut object = object;
        record.leases.clear();
        object.data.insert(RECORD.to_owned(), record.to_json());
        let written = self.store.update(&object).await;
        assert!(written.is_ok_and(|object| object.record().is_ok_and(|it| it.leases.is_empty())));
        self.lock("new")
            .shared()
            .try_acquire()
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        let state = inspect(&self.store, &self.name).await.unwrap();
        assert!(state.record.leases.is_empty(), "{state:?}");
    }

    /// A reader leaves the lock to a writer that came before it, even one that does not wait.
    pub(crate) async fn nobody_overtakes(self) {
        let reader = self.lock("reader").shared().acquire().await.unwrap();
        let writer = self.lock("writer").fair();
        let writer = tokio::spawn(async move { writer.acquire().await });
        self.until_waiting(1).await;
        let late = self.lock("late").shared().fair();
        let error = late.try_acquire().await.map(drop).unwrap_err();
        assert_eq!(error.errno(), Errno::EBUSY, "{error}");
        assert!(error.to_string().contains("kept for \"writer\""), "{error}");
        reader.release().await.unwrap();
        let writer = timeout(WATCHDOG, writer).await.unwrap().unwrap().unwrap();
        writer.release().await.unwrap();
    }

    /// Takes a slot from the holder whose lease would end first, or the whole lock from its holder.
    pub(crate) async fn whoever_forces_takes_one_place(self) {
        let two = NonZeroU32::new(2).unwrap();
        let lock = |id: &str| self.lock(id).slots(two);
        let force = || "acquired equals true".parse().unwrap();
        let long = lock("long").duration(LEASE * 2).acquire().await.unwrap();
        let short = lock("short").acquire().await.unwrap();
        let forced = lock("forced").force(force()).acquire().await.unwrap();
        timeout(WATCHDOG, short.lost()).await.unwrap();
        long.renew().await.unwrap();
        assert!(!long.is_lost() && !forced.is_lost());
        let alone = self.lock("alone").force(force()).acquire().await.unwrap();
        for held in [&long, &forced] {
            timeout(WATCHDOG, held.lost()).await.unwrap();
        }
        alone.release().await.unwrap();
    }

    /// A reader whose lease was broken is told, and the other one stays.
    pub(crate) async fn each_member_is_ended_alone(self) {
        let (one, other) = (self.lock("one").shared(), self.lock("other").shared());
        let (one, other) = (one.acquire().await.unwrap(), other.acquire().await.unwrap());
        let id = lockheed::LeaseId {
            holder: "one".to_owned(),
            token: Some(one.token()),
        };
        let ended = lockheed::break_lease(&self.store, &self.name, &id, None, "a test").await;
        assert_eq!(ended.unwrap().unwrap().holder, "one");
        timeout(WATCHDOG, one.lost()).await.unwrap();
        other.renew().await.unwrap();
        assert!(!other.is_lost());
        other.release().await.unwrap();
    }
}

macro_rules! on_memory_and_disk {
    ($($name:ident($($argument:expr),*);)*) => {$(
        #[tokio::test]
        async fn $name() {
            Game::new(MemoryStore::new(), "x").$name($($argument),*).await;
            let directory = tempfile::tempdir().unwrap();
            let store = DirStore::open(directory.path()).unwrap();
            Game::new(store, "x").$name($($argument),*).await;
        }
    )*};
}

on_memory_and_disk! {
    readers_and_writers(30);
    slots(10);
    other_numbers();
    in_order(30);
    who_gives_up_leaves();
    by_priority();
    beside_a_mutex();
    each_member_is_ended_alone();
    nobody_overtakes();
    whoever_forces_takes_one_place();
}

#[tokio::test]
async fn no_holder_can_have_the_name_of_a_group() {
    let game = Game::new(MemoryStore::new(), "x");
    let error = game.lock("lockheed/shared").acquire().await.unwrap_err();
    assert_eq!(error.errno(), Errno::EINVAL, "{error}");
    let error = game.store.get(&game.name).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
}
