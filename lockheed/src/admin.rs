//! Inspecting locks, and ending other holders' leases.

use std::{future::Future, time::Duration};

#[cfg(feature = "kube")]
use crate::store::{ClusterStore, ObjectKind};
use crate::{
    Condition, Error, InvalidRecord, Lease, LockName, Record, Store, Timestamp, Token,
    error::Kind,
    fair::{Queue, Waiter},
    key,
    protocol::{Broken, HeldBy, NotHeld, Skew},
    store::{Object, RECORD, StoreError, StoreErrorKind, Version},
};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How many conflicts with other writers are too many.
const TRIES: u32 = 50;

/// A lock as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockState {
    /// Its name.
    pub name: LockName,
    /// The key that it is stored for, if its name was made from one.
    pub key: Option<String>,
    /// What is stored in it.
    pub record: Record,
    /// The waiters in its queue, in order.
    pub waiting: Vec<Waiter>,
    /// The version of this state.
    pub version: Version,
    /// The store's clock at that moment.
    pub now: Timestamp,
}

/// Identifies one lease: its holder, and the acquisition that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseId {
    /// The holder's ID.
    pub holder: String,
    /// The fencing token, which distinguishes the lease from all others of the same ID. None for
    /// whichever lease that ID has.
    pub token: Option<Token>,
}

impl LockState {
    /// Identifies a lease of this lock.
    ///
    /// The newest lease has no token of its own until the lock is written again: the lock's version
    /// stands for it. The two are equal unless somebody else has edited the object since.
    #[must_use]
    pub fn id_of(&self, lease: &Lease) -> LeaseId {
        LeaseId {
            holder: lease.holder.clone(),
            token: lease.token,
        }
    }

    /// The key in the map of leases.
    fn find(&self, wanted: &LeaseId) -> Option<&str> {
        let is_wanted = |(key, lease): &(&String, &Lease)| {
            let is_theirs = [*key, &lease.holder].contains(&&wanted.holder);
            is_theirs && (wanted.token.is_none() || self.id_of(lease).token == wanted.token)
        };
        let found = self.record.leases.iter().find(is_wanted);
        found.map(|(key, _)| key.as_str())
    }

    /// The leases that have not expired by their own times.
    pub fn holders(&self) -> impl Iterator<Item = &Lease> {
        self.record
            .leases
            .values()
            .filter(|lease| !lease.is_expired(self.now))
    }

    /// The leases that have expired by their own times but still exist, because nobody has taken
    /// the lock since. If clocks differ, their holders may still believe they have the lock.
    pub fn expired(&self) -> impl Iterator<Item = &Lease> {
        self.record
            .leases
            .values()
            .filter(|lease| lease.is_expired(self.now))
    }

    /// Whether somebody holds it, by the leases' own times.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.holders().next().is_some()
    }

    /// Whether the lock meets the condition.
    #[must_use]
    pub fn matches(&self, condition: &Condition) -> bool {
        condition.holds(&self.record, self.is_held())
    }

    fn read(object: &Object, now: Timestamp) -> Result<Self, Error> {
        let unreadable = |error: InvalidRecord| Kind::Record(error.to_string()).at(&object.name);
        let mut record = object.record().map_err(unreadable)?;
        record.note_tokens(&object.version);
        Ok(Self {
            name: object.name.clone(),
            key: key::of(object).map(str::to_owned),
            record,
            waiting: Queue::read(object).into_waiters(),
            version: object.version.clone(),
            now,
        })
    }
}

/// Reads the current state of one lock.
///
/// ```
/// use lockheed::{Lock, LockName, MemoryStore, inspect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, name) = (MemoryStore::new(), "deploy".parse::<LockName>()?);
/// # Lock::new(store.clone(), name.clone()).id("ci-7").acquire().await?.detach();
/// let lock = inspect(&store, &name).await?;
/// for lease in lock.holders() {
///     println!("{} is held by {}", lock.name, lease.holder);
/// }
/// # assert!(lock.is_held());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `ENOENT` when it does not exist; `EINVAL` when it cannot be read, or is stored for another key
/// than the name's; otherwise the store's error.
pub async fn inspect<S: Store>(store: &S, name: &LockName) -> Result<LockState, Error> {
    Ok(look(store, name).await?.1)
}

/// Lists the locks that meet the condition, by name. A lock that cannot be read is listed as an
/// error.
///
/// ```
/// use lockheed::{Lock, MemoryStore, delete_lock, locks};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # Lock::new(store.clone(), "deploy".parse()?).tags(["prod"]).acquire().await?.release().await?;
/// let free = r#"tags contains "prod" and acquired equals false"#.parse()?;
/// for lock in locks(&store, Some(&free)).await? {
///     delete_lock(&store, &lock?.name, Some(&free)).await?;
/// }
/// # assert!(locks(&store, None).await?.is_empty());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The store's error.
pub async fn locks<S: Store>(
    store: &S,
    condition: Option<&Condition>,
) -> Result<Vec<Result<LockState, Error>>, StoreError> {
    let found = within(store.list()).await?;
    let now = within(store.now()).await?;
    let states = found.iter().map(|object| LockState::read(object, now));
    Ok(states.filter(|state| wanted(state, condition)).collect())
}

/// Like [`locks`], for all namespaces; each lock comes with its namespace.
///
/// # Errors
/// The store's error.
#[cfg(feature = "kube")]
pub async fn locks_everywhere<K: ObjectKind>(
    store: &ClusterStore<K>,
    condition: Option<&Condition>,
) -> Result<Vec<(String, Result<LockState, Error>)>, StoreError> {
    let found = within(store.list_everywhere()).await?;
    let now = within(store.now()).await?;
    let states = found.into_iter().map(|(namespace, object)| {
        let state = LockState::read(&object, now);
        (namespace, state)
    });
    Ok(states
        .filter(|(_, state)| wanted(state, condition))
        .collect())
}

/// Whether to list this lock. Unreadable locks are always listed.
fn wanted(state: &Result<LockState, Error>, condition: Option<&Condition>) -> bool {
    let (Ok(state), Some(condition)) = (state, condition) else {
        return true;
    };
    state.matches(condition)
}

/// Ends and returns every lease of a lock, including those that have expired by their own times.
/// Holders that watch the lock notice at once; until then they believe they have it. None when the
/// lock does not meet the condition.
///
/// ```
/// use lockheed::{Lock, LockName, MemoryStore, break_lock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, name) = (MemoryStore::new(), "deploy".parse::<LockName>()?);
/// # Lock::new(store.clone(), name.clone()).id("ci-7").tags(["prod"]).acquire().await?.detach();
/// let prod = r#"tags contains "prod""#.parse()?;
/// let ended = break_lock(&store, &name, Some(&prod)).await?;
/// assert_eq!(ended.expect("it meets the condition")[0].holder, "ci-7");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As for [`inspect`]; `EAGAIN` when other writers are always faster.
pub async fn break_lock<S: Store>(
    store: &S,
    name: &LockName,
    condition: Option<&Condition>,
) -> Result<Option<Vec<Lease>>, Error> {
    break_lock_as(store, name, condition, "").await
}

/// Like [`break_lock`], and records who did it (`by`), for the holders who lose their leases.
///
/// # Errors
/// As for [`break_lock`].
pub async fn break_lock_as<S: Store>(
    store: &S,
    name: &LockName,
    condition: Option<&Condition>,
    by: &str,
) -> Result<Option<Vec<Lease>>, Error> {
    end(store, name, None, condition, by).await
}

/// Ends and returns this lease and no other. `by` is the name that the holder sees. The write
/// succeeds only if the lock has not changed since it was read, so a holder that acquires it
/// meanwhile keeps it. None when the lock does not meet the condition.
///
/// ```
/// use lockheed::{Lock, LockName, MemoryStore, break_lease, inspect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, name) = (MemoryStore::new(), "deploy".parse::<LockName>()?);
/// # Lock::new(store.clone(), name.clone()).acquire().await?.detach();
/// let state = inspect(&store, &name).await?;
/// if let Some(lease) = state.holders().next() {
///     break_lease(&store, &name, &state.id_of(lease), None, "an operator").await?;
/// }
/// # assert!(!inspect(&store, &name).await?.is_held());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `ESTALE` when the lock has no such lease; the message names the holder. Otherwise as for
/// [`break_lock`].
pub async fn break_lease<S: Store>(
    store: &S,
    name: &LockName,
    lease: &LeaseId,
    condition: Option<&Condition>,
    by: &str,
) -> Result<Option<Lease>, Error> {
    let ended = end(store, name, Some(lease), condition, by).await?;
    Ok(ended.and_then(|mut ended| ended.pop()))
}

/// Ends all leases, or only the wanted one.
async fn end<S: Store>(
    store: &S,
    name: &LockName,
    wanted: Option<&LeaseId>,
    condition: Option<&Condition>,
    by: &str,
) -> Result<Option<Vec<Lease>>, Error> {
    for _ in 0..TRIES {
        let (mut object, state) = look(store, name).await?;
        let mut left = state.record.clone();
        let ended: Vec<_> = match wanted {
            None => std::mem::take(&mut left.leases).into_values().collect(),
            Some(wanted) => {
                let key = state.find(wanted);
                let key = key.ok_or_else(|| not_held(&object, &state, wanted))?;
                left.leases.remove(key).into_iter().collect()
            }
        };
        if condition.is_some_and(|condition| !state.matches(condition)) {
            return Ok(None);
        }
        if ended.is_empty() {
            return Ok(Some(ended));
        }
        let holders = ended.iter().map(|lease| lease.holder.clone()).collect();
        Broken::new(holders, by, state.now).write(&mut object);
        object.set_record(&left);
        match within(store.update(&object)).await {
            Ok(_) => return Ok(Some(ended)),
            Err(error) if error.kind() == StoreErrorKind::Conflict => {}
            Err(error) => return Err(Kind::of_store(error).at(name)),
        }
    }
    Err(busy(name))
}

/// Deletes a lock that nobody holds. If it is created again, its tokens keep rising. False when the
/// lock does not meet the condition.
///
/// ```
/// use lockheed::{Lock, LockName, MemoryStore, delete_lock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, name) = (MemoryStore::new(), "deploy".parse::<LockName>()?);
/// # Lock::new(store.clone(), name.clone()).acquire().await?.release().await?;
/// assert!(delete_lock(&store, &name, None).await?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `EBUSY` when it is held. `EINVAL` when its object has other data beside the lock, or was made
/// beforehand and never used as a lock. Otherwise as for [`break_lock`].
pub async fn delete_lock<S: Store>(
    store: &S,
    name: &LockName,
    condition: Option<&Condition>,
) -> Result<bool, Error> {
    for _ in 0..TRIES {
        let (object, state) = look(store, name).await?;
        if condition.is_some_and(|condition| !state.matches(condition)) {
            return Ok(false);
        }
        let skew = Skew::of(store);
        let surely = |lease: &&Lease| skew.is_surely_over(lease, state.now);
        if let Some(lease) = state.record.leases.values().find(|lease| !surely(lease)) {
            return Err(Kind::Held(HeldBy::of(lease, state.now)).at(name));
        }
        if let Some(key) = object.data.keys().find(|key| *key != RECORD) {
            let text =
                format!("it is kept together with other data ({key:?}), which would go with it");
            return Err(Kind::InvalidRequest(text).at(name));
        }
        match within(store.delete(&object)).await {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == StoreErrorKind::Conflict => {}
            Err(error) => return Err(Kind::of_store(error).at(name)),
        }
    }
    Err(busy(name))
}

/// Names the holder in the error: preferably another lease of the same ID.
fn not_held(object: &Object, state: &LockState, wanted: &LeaseId) -> Error {
    let LeaseId { holder, token } = wanted;
    let mut leases: Vec<_> = state.holders().chain(state.expired()).collect();
    leases.sort_by_key(|lease| lease.holder != *holder);
    let lease = leases.first();
    let broken = Broken::read(object).filter(|broken| broken.ended(holder));
    let not_held = NotHeld {
        id: holder.clone(),
        token: *token,
        broken,
        by: lease.map(|lease| HeldBy::of(lease, state.now)),
        current: lease.and_then(|lease| state.id_of(lease).token),
    };
    Kind::NotHeld(Box::new(not_held)).at(&state.name)
}

async fn look<S: Store>(store: &S, name: &LockName) -> Result<(Object, LockState), Error> {
    let of_lock = |error| Kind::of_store(error).at(name);
    let object = within(store.get(name)).await.map_err(of_lock)?;
    let now = within(store.now()).await.map_err(of_lock)?;
    key::check(name, &object).map_err(|other| Kind::from(other).at(name))?;
    let state = LockState::read(&object, now)?;
    Ok((object, state))
}

async fn within<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(LIMIT, call).await;
    answer.unwrap_or_else(|_| Err(StoreError::silent(StoreErrorKind::Unknown)))
}

fn busy(name: &LockName) -> Error {
    let text = format!("lock {name} was changed by others {TRIES} times in a row");
    Kind::Store(StoreError::new(
        StoreErrorKind::Conflict,
        coord_core::Errno::EAGAIN,
        text,
    ))
    .at(name)
}
