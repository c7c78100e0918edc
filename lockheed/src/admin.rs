//! Looking at locks, and ending other people's leases.

use std::{future::Future, time::Duration};

#[cfg(feature = "kube")]
use crate::store::{ClusterStore, ObjectKind};
use crate::{
    Condition, Error, Lease, LockName, Record, Store, Timestamp,
    error::Kind,
    protocol::{Broken, HeldBy, Skew},
    store::{Object, RECORD, StoreError, StoreErrorKind, Version},
};

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// How often somebody may be faster before that is an error.
const TRIES: u32 = 50;

/// A lock as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Its name.
    pub name: LockName,
    /// What is written into it.
    pub record: Record,
    /// Which of its states this is.
    pub version: Version,
    /// The store's clock at that moment.
    pub now: Timestamp,
}

impl State {
    /// The leases that are not over, by their own word.
    pub fn holders(&self) -> impl Iterator<Item = &Lease> {
        self.record
            .leases
            .values()
            .filter(|lease| !lease.is_expired(self.now))
    }

    /// The leases that are over by their own word, and still there: nobody has taken the lock
    /// since. While clocks may differ, their holders may believe in them.
    pub fn expired(&self) -> impl Iterator<Item = &Lease> {
        self.record
            .leases
            .values()
            .filter(|lease| lease.is_expired(self.now))
    }

    /// Whether somebody holds it, by the word of the leases.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.holders().next().is_some()
    }

    /// Whether the condition holds for it.
    #[must_use]
    pub fn matches(&self, condition: &Condition) -> bool {
        condition.holds(&self.record, self.is_held())
    }

    fn read(object: &Object, now: Timestamp) -> Result<Self, Error> {
        let text = object.data.get(RECORD);
        let text = text.ok_or_else(|| format!("it has no {RECORD:?} entry"));
        let record =
            text.and_then(|text| Record::from_json(text).map_err(|error| error.to_string()));
        Ok(Self {
            name: object.name.clone(),
            record: record.map_err(|reason| Kind::Record(reason).at(&object.name))?,
            version: object.version.clone(),
            now,
        })
    }
}

/// One lock, as it is now.
///
/// # Errors
/// `ENOENT`; `EINVAL` when it cannot be read; that of the store.
pub async fn inspect<S: Store>(store: &S, name: &LockName) -> Result<State, Error> {
    Ok(look(store, name).await?.1)
}

/// Every lock that the condition holds for, by name; each that cannot be read is an error of its own.
///
/// # Errors
/// That of the store.
pub async fn locks<S: Store>(
    store: &S,
    condition: Option<&Condition>,
) -> Result<Vec<Result<State, Error>>, StoreError> {
    let found = within(store.list()).await?;
    let now = within(store.now()).await?;
    let states = found.iter().map(|object| State::read(object, now));
    Ok(states.filter(|state| wanted(state, condition)).collect())
}

/// The same of all namespaces, each lock with its namespace.
///
/// # Errors
/// That of the store.
#[cfg(feature = "kube")]
pub async fn locks_everywhere<K: ObjectKind>(
    store: &ClusterStore<K>,
    condition: Option<&Condition>,
) -> Result<Vec<(String, Result<State, Error>)>, StoreError> {
    let found = within(store.list_everywhere()).await?;
    let now = within(store.now()).await?;
    let states = found.into_iter().map(|(namespace, object)| {
        let state = State::read(&object, now);
        (namespace, state)
    });
    Ok(states
        .filter(|(_, state)| wanted(state, condition))
        .collect())
}

/// One that cannot be read is told of, whatever is wanted.
fn wanted(state: &Result<State, Error>, condition: Option<&Condition>) -> bool {
    let (Ok(state), Some(condition)) = (state, condition) else {
        return true;
    };
    state.matches(condition)
}

/// Ends every lease of a lock, whoever holds it, and returns them; those that are over by their own
/// word are among them. Holders that watch the lock learn of it at once; until then they believe to
/// hold it. None when the condition does not hold.
///
/// # Errors
/// As [`inspect`]; `EAGAIN` when others are always faster.
pub async fn break_lock<S: Store>(
    store: &S,
    name: &LockName,
    condition: Option<&Condition>,
) -> Result<Option<Vec<Lease>>, Error> {
    break_lock_as(store, name, condition, "").await
}

/// The same, and leaves word of who did it, for those whose leases they were.
///
/// # Errors
/// As [`break_lock`].
pub async fn break_lock_as<S: Store>(
    store: &S,
    name: &LockName,
    condition: Option<&Condition>,
    by: &str,
) -> Result<Option<Vec<Lease>>, Error> {
    for _ in 0..TRIES {
        let (object, state) = look(store, name).await?;
        if condition.is_some_and(|condition| !state.matches(condition)) {
            return Ok(None);
        }
        let (mut free, mut object) = (state.record, object);
        let ended: Vec<_> = std::mem::take(&mut free.leases).into_values().collect();
        if ended.is_empty() {
            return Ok(Some(ended));
        }
        let holders = ended.iter().map(|lease| lease.holder.clone()).collect();
        Broken::new(holders, by, state.now).write(&mut object);
        object.data.insert(RECORD.to_owned(), free.to_json());
        match within(store.update(&object)).await {
            Ok(_) => return Ok(Some(ended)),
            Err(error) if error.kind() == StoreErrorKind::Conflict => {}
            Err(error) => return Err(Kind::of_store(error).at(name)),
        }
    }
    Err(busy(name))
}

/// Removes a lock that nobody holds; its tokens rise on if it is made again. False when the condition does not hold.
///
/// # Errors
/// `EBUSY` when it is held; as [`break_lock`].
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
            let by = HeldBy::Lease {
                by: lease.holder.clone(),
                expires: lease.expires,
                is_past: lease.is_expired(state.now),
            };
            return Err(Kind::Held(by).at(name));
        }
        match within(store.delete(&object)).await {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == StoreErrorKind::Conflict => {}
            Err(error) => return Err(Kind::of_store(error).at(name)),
        }
    }
    Err(busy(name))
}

async fn look<S: Store>(store: &S, name: &LockName) -> Result<(Object, State), Error> {
    let of_lock = |error| Kind::of_store(error).at(name);
    let object = within(store.get(name)).await.map_err(of_lock)?;
    let now = within(store.now()).await.map_err(of_lock)?;
    let state = State::read(&object, now)?;
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
