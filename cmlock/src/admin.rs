//! Reading locks, and releasing or breaking them by name.

use coord_core::is_dns_subdomain;
use coord_kube::Rule;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};

use crate::{
    Client, Error, HeldBy, Record, Verdict,
    client::{CONFIGMAPS, PODS},
    error::{Kind, NotHeld},
    holder::OwnerState,
    judge::judge,
    time::ClockBounds,
};

/// A lock's object, and its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockState {
    /// The content of the object.
    pub record: Record,
    /// Its meaning at this moment.
    pub verdict: Verdict,
}

impl LockState {
    /// Who holds the lock, if anybody does.
    #[must_use]
    pub fn held_by(&self) -> Option<&HeldBy> {
        match &self.verdict {
            Verdict::Held(obstacle) => Some(obstacle),
            _ => None,
        }
    }
}

/// The state of one lock; `None` if there is no object.
///
/// ```no_run
/// # async fn example(client: cmlock::Client) -> Result<(), cmlock::Error> {
/// match cmlock::status(&client, "migrate").await? {
///     None => println!("no such lock: it is free"),
///     Some(lock) => match lock.held_by() {
///         Some(by) => println!("it is {by}"),
///         None => println!("free"),
///     },
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `EINVAL` for an invalid lock name, and for an object that is not a lock; those of the requests.
pub async fn status(client: &Client, name: &str) -> Result<Option<LockState>, Error> {
    let state = async {
        let object = read(client, name).await?;
        match object {
            Some(object) => state(client, &object).await.map(Some),
            None => Ok(None),
        }
    };
    state.await.map_err(|kind| kind.at(name))
}

/// All locks of the namespace, in order of name. A lock is a ConfigMap that a Pod owns as its
/// controller, or one with content that only locks have. An unreadable lock is an error in its
/// place in the list.
///
/// ```no_run
/// # async fn example(client: cmlock::Client) -> Result<(), cmlock::Error> {
/// for lock in cmlock::locks(&client).await? {
///     match lock {
///         Ok(lock) => println!("{}", lock.record.name),
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of the requests.
pub async fn locks(client: &Client) -> Result<Vec<Result<LockState, Error>>, Error> {
    let locks = found(client, false).await?;
    Ok(locks.into_iter().map(|(_, lock)| lock).collect())
}

/// All locks of all namespaces, each with its namespace.
///
/// # Errors
/// As for [`locks`].
pub async fn locks_everywhere(
    client: &Client,
) -> Result<Vec<(String, Result<LockState, Error>)>, Error> {
    found(client, true).await
}

async fn found(
    client: &Client,
    everywhere: bool,
) -> Result<Vec<(String, Result<LockState, Error>)>, Error> {
    let of_list = |error| Kind::from(error).at("");
    let candidates = client.candidates(everywhere).await.map_err(of_list)?;
    let mut locks = Vec::new();
    for (namespace, name) in candidates {
        let there = client.within(&namespace).map_err(of_list)?;
        match there.get::<ConfigMap>(CONFIGMAPS, &name).await {
            Ok(Some(object)) if Record::looks_like(&object) => {
                let state = state(&there, &object).await;
                locks.push((namespace, state.map_err(|kind| kind.at(&name))));
            }
            // It is not a lock, or has been deleted meanwhile.
            Ok(_) => {}
            Err(error) => return Err(Kind::from(error).at(&name)),
        }
    }
    Ok(locks)
}

/// Deletes the lock's object if the client's Pod owns it and, if an ID is given, that holder has
/// it. Succeeds if there is no object. It also succeeds if nobody holds the lock any more, and then
/// leaves the object to the next holder.
///
/// ```no_run
/// # async fn example(client: cmlock::Client, lock: cmlock::Lock) -> Result<(), cmlock::Error> {
/// let held = lock.acquire().await?;
/// let id = held.id().to_owned();
/// held.detach();
/// // Later, perhaps in another process of the Pod:
/// cmlock::release(&client, lock.name(), Some(&id)).await
/// # }
/// ```
///
/// # Errors
/// `EBUSY` when another holder has it, whom the text names; `EINVAL` when it cannot be read; those
/// of the requests.
pub async fn release(client: &Client, name: &str, id: Option<&str>) -> Result<(), Error> {
    let released = async {
        let holder = client.holder(id.unwrap_or_default()).await?;
        let holder = holder.map_err(Kind::Refused)?;
        loop {
            let Some(object) = read(client, name).await? else {
                return Ok(());
            };
            let record = Record::read(&object)?;
            let ours = record.owner.uid == holder.owner.uid
                && (id.is_none() || record.is_held_by(&holder));
            if !ours {
                return held_by_another(client, &object).await;
            }
            match client.delete(name, &object.metadata).await {
                Ok(()) => return Ok(()),
                // Somebody has changed it since.
                Err(error) if error.status() == Some(409) => {}
                Err(error) => return Err(error.into()),
            }
        }
    };
    released.await.map_err(|kind: Kind| kind.at(name))
}

/// Ends the hold of this holder, in whichever Pod it is. It deletes the lock's object by UID and
/// version, so another holder's object stays. Whoever watches the lock notices at once. Until then,
/// that holder believes that it still has the lock. Returns the deleted record.
///
/// `holder` is [`Record::holder_id`]. This needs [`Client::rules_to_break`], and no Pod.
///
/// ```no_run
/// # async fn example(client: &cmlock::Client) -> Result<(), cmlock::Error> {
/// if let Some(lock) = cmlock::status(client, "migrate").await?
///     && let Some(by) = lock.held_by()
/// {
///     println!("held by {by}");
///     cmlock::break_lock(client, "migrate", lock.record.holder_id()).await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `ESTALE` when that holder does not have the lock, with who does; `EACCES` without the right to
/// delete it, which the text names; `EINVAL` when it cannot be read; those of the requests.
pub async fn break_lock(client: &Client, name: &str, holder: &str) -> Result<Record, Error> {
    let rules = Client::rules_to_break(name)?;
    let broken = async {
        loop {
            let Some(object) = read(client, name).await? else {
                return Err(not_held(holder, None, None));
            };
            let record = Record::read(&object)?;
            if record.holder_id() != holder {
                let by = now_held_by(client, &object, &record).await;
                return Err(not_held(holder, by, Some(record)));
            }
            may(client, &rules).await?;
            match client.delete(name, &object.metadata).await {
                Ok(()) => return Ok(record),
                // Somebody has changed it since.
                Err(error) if error.status() == Some(409) => {}
                Err(error) => return Err(error.into()),
            }
        }
    };
    broken.await.map_err(|kind: Kind| kind.at(name))
}

/// Without the right to read the Pod, the object alone decides.
async fn now_held_by(client: &Client, object: &ConfigMap, record: &Record) -> Option<HeldBy> {
    match state(client, object).await {
        Ok(state) => state.held_by().cloned(),
        Err(_) => Some(HeldBy::of(record)),
    }
}

fn not_held(holder: &str, by: Option<HeldBy>, now: Option<Record>) -> Kind {
    let now = now.filter(|record| record.holder.is_none());
    Kind::NotHeld(Box::new(NotHeld {
        holder: holder.to_owned(),
        by,
        uid: now.map(|record| record.uid),
    }))
}

/// If the server does not tell, its answer to the actual request decides.
async fn may(client: &Client, rules: &[Rule]) -> Result<(), Kind> {
    let cluster = client.cluster();
    let access = cluster.access(rules).await.unwrap_or_default();
    match access.into_iter().find(|access| !access.allowed) {
        Some(missing) => {
            let namespace = cluster.namespace().to_owned();
            Err(Kind::NotAllowed(missing.rule, namespace))
        }
        None => Ok(()),
    }
}

/// If the holder no longer exists, there is nothing to release.
async fn held_by_another(client: &Client, object: &ConfigMap) -> Result<(), Kind> {
    match state(client, object).await?.verdict {
        Verdict::Held(obstacle) => Err(Kind::Held(obstacle)),
        Verdict::Free(_) | Verdict::Ours => Ok(()),
    }
}

async fn read(client: &Client, name: &str) -> Result<Option<ConfigMap>, Kind> {
    if !is_dns_subdomain(name) {
        return Err(Kind::Name);
    }
    Ok(client.get(CONFIGMAPS, name).await?)
}

async fn state(client: &Client, object: &ConfigMap) -> Result<LockState, Kind> {
    let record = Record::read(object)?;
    let pod: Option<Pod> = client.get(PODS, &record.owner.name).await?;
    let owner = OwnerState::of(&record.owner, pod.as_ref());
    let verdict = judge(&record, &owner, ClockBounds::of(client.now()), None);
    Ok(LockState { record, verdict })
}
