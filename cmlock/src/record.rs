//! A lock as a ConfigMap: reading and writing it.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use coord_core::text::decimal;
use k8s_openapi::{
    api::core::v1::ConfigMap,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use coord_lease::engine::{NewLease, Nonce};

use crate::{Time, holder::Holder};

/// The key in `data` for the time at which the lock expires.
pub(crate) const EXPIRES_AT: &str = "expiresAt";

const HOLDER: &str = "cmlock/holder";
const CONTAINER: &str = "cmlock/container";
const RESTARTS: &str = "cmlock/restarts";
const SINCE: &str = "cmlock/since";
const NONCE: &str = "cmlock/nonce";
const PASSED: &str = "cmlock/passed";

/// The Pod that owns an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The Pod's name.
    pub name: String,
    /// The Pod's UID.
    pub uid: String,
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRun {
    /// The container's name.
    pub container: String,
    /// How often it had been restarted before this run.
    pub restarts: i32,
}

/// A lock's record, read from its ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The lock's name.
    pub name: String,
    /// The object's UID. Each acquisition creates its own object, so the UID is unique to it.
    pub uid: String,
    /// The owner Pod.
    pub owner: Owner,
    /// When the lock expires; `None` without expiry.
    pub expires: Option<Time>,
    /// The holder's ID; `None` in objects that Go programs write.
    pub holder: Option<String>,
    /// The holder's container, if it was recorded.
    pub run: Option<ContainerRun>,
    /// Unix seconds by the node's clock at which the holder certainly ran; comparable with the
    /// times in the Pod's status.
    pub(crate) since: Option<u64>,
    /// The object is being deleted, and something (a finalizer) keeps it.
    pub deleting: bool,
    /// The labels.
    pub labels: BTreeMap<String, String>,
}

/// What is wrong with an object that has a lock's name. The object is reported, and stays
/// unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether an object with this metadata may be a lock. It looks like one, somebody has written a
/// field that only locks have, or the writers are unknown (`managedFields`).
#[cfg(feature = "client")]
pub(crate) fn may_be_lock(meta: &ObjectMeta) -> bool {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;

    const DATA: &str = "f:data";
    const FIELD: &str = "f:expiresAt";
    let writes_expiry = |entry: &ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| fields.0[DATA].get(FIELD).is_some())
    };
    let managed = meta.managed_fields.as_deref().unwrap_or_default();
    looks_like(meta) || managed.is_empty() || managed.iter().any(writes_expiry)
}

/// Whether a Pod owns it as its controller, or it has a holder's ID.
#[cfg(feature = "client")]
fn looks_like(meta: &ObjectMeta) -> bool {
    let mut owners = meta.owner_references.iter().flatten();
    let mut annotations = meta.annotations.iter().flatten();
    owners.any(|owner| owner.kind == "Pod" && owner.controller == Some(true))
        || annotations.any(|(key, _)| key == HOLDER)
}

impl Record {
    pub(crate) fn read(object: &ConfigMap) -> Result<Self, Malformed> {
        let meta = &object.metadata;
        let annotation = |key: &str| meta.annotations.as_ref()?.get(key).cloned();
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Ok(Self {
            name: text(&meta.name),
            uid: text(&meta.uid),
            owner: owner(meta.owner_references.as_deref().unwrap_or_default())?,
            expires: expires(object)?,
            holder: annotation(HOLDER),
            run: run(annotation(CONTAINER), annotation(RESTARTS))?,
            since: annotation(SINCE)
                .map(|text| number(SINCE, &text))
                .transpose()?,
            deleting: meta.deletion_timestamp.is_some(),
            labels: meta.labels.clone().unwrap_or_default(),
        })
    }

    /// Whether an object looks like a lock, even a malformed one: a Pod owns it as its controller,
    /// or it has content that only locks have.
    #[cfg(feature = "client")]
    pub(crate) fn looks_like(object: &ConfigMap) -> bool {
        let mut data = object.data.iter().flatten();
        looks_like(&object.metadata) || data.any(|(key, _)| key == EXPIRES_AT)
    }

    /// Distinguishes this holder from all others: its ID, or the object's UID if a Go program wrote
    /// no ID.
    #[must_use]
    pub fn holder_id(&self) -> &str {
        self.holder.as_deref().unwrap_or(&self.uid)
    }

    pub(crate) fn is_held_by(&self, holder: &Holder) -> bool {
        self.owner.uid == holder.owner.uid && self.holder.as_deref() == Some(&*holder.id)
    }
}

/// Builds the object that a holder creates.
pub(crate) fn new(
    name: &str,
    labels: &BTreeMap<String, String>,
    holder: &Holder,
    expires: Option<Time>,
    lease: NewLease,
) -> ConfigMap {
    let mut object = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: (!labels.is_empty()).then(|| labels.clone()),
            annotations: Some(annotations(holder)),
            owner_references: Some(vec![reference(&holder.owner)]),
            ..ObjectMeta::default()
        },
        data: expires.map(|at| data(Some(at))),
        ..ConfigMap::default()
    };
    set_nonce(&mut object, lease.nonce);
    if let Some(passed) = lease.passed {
        let annotations = object.metadata.annotations.get_or_insert_default();
        annotations.insert(PASSED.to_owned(), passed.to_string());
    }
    object
}

/// How often others overtook its holder while it waited.
pub(crate) fn passed(object: &ConfigMap) -> Option<u32> {
    let passed = object.metadata.annotations.as_ref()?.get(PASSED)?;
    passed.parse().ok()
}

/// Marks this write, to distinguish it from every other.
pub(crate) fn set_nonce(object: &mut ConfigMap, nonce: Nonce) {
    let annotations = object.metadata.annotations.get_or_insert_default();
    annotations.insert(NONCE.to_owned(), nonce.to_string());
}

pub(crate) fn nonce(object: &ConfigMap) -> Option<Nonce> {
    let nonce = object.metadata.annotations.as_ref()?.get(NONCE)?;
    u64::from_str_radix(nonce, 16).ok().map(Nonce)
}

/// The content of the object's `data`.
pub(crate) fn data(expires: Option<Time>) -> BTreeMap<String, String> {
    expires
        .map(|at| (EXPIRES_AT.to_owned(), at.as_secs().to_string()))
        .into_iter()
        .collect()
}

fn annotations(holder: &Holder) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([(HOLDER.to_owned(), holder.id.clone())]);
    if let Some(run) = &holder.run {
        annotations.insert(CONTAINER.to_owned(), run.container.clone());
        annotations.insert(RESTARTS.to_owned(), run.restarts.to_string());
        annotations.insert(SINCE.to_owned(), node_time().to_string());
    }
    annotations
}

/// The wall clock of this machine, in whole Unix seconds. The times in a Pod's status come from its
/// node's clock: if that is wrong, both are.
fn node_time() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// Makes the garbage collector delete the object when this Pod is gone.
fn reference(owner: &Owner) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }
}

fn owner(references: &[OwnerReference]) -> Result<Owner, Malformed> {
    let owner = match references {
        [owner] => owner,
        [] => {
            return Err(Malformed(
                "it has no ownerReference, and a lock has exactly one, to a Pod".to_owned(),
            ));
        }
        many => {
            return Err(Malformed(format!(
                "it has {} ownerReferences, and a lock has exactly one, to a Pod",
                many.len()
            )));
        }
    };
    if (&*owner.api_version, &*owner.kind) != ("v1", "Pod") {
        return Err(Malformed(format!(
            "it belongs to {:?} of {:?}, and a lock belongs to a \"Pod\" of \"v1\"",
            owner.kind, owner.api_version
        )));
    }
    if owner.uid.is_empty() || !coord_core::is_dns_subdomain(&owner.name) {
        return Err(Malformed(format!(
            "its ownerReference to Pod {:?} with UID {:?} cannot be one",
            owner.name, owner.uid
        )));
    }
    Ok(Owner {
        name: owner.name.clone(),
        uid: owner.uid.clone(),
    })
}

fn expires(object: &ConfigMap) -> Result<Option<Time>, Malformed> {
    let Some(text) = object.data.as_ref().and_then(|data| data.get(EXPIRES_AT)) else {
        return Ok(None);
    };
    match decimal(text) {
        Some(seconds) => Ok(Some(Time::from_secs(seconds))),
        None => Err(Malformed(format!(
            "its data.{EXPIRES_AT} is {:?}, and should be a Unix time in decimal seconds",
            start_of(text)
        ))),
    }
}

fn run(
    container: Option<String>,
    restarts: Option<String>,
) -> Result<Option<ContainerRun>, Malformed> {
    let (Some(container), Some(restarts)) = (container, restarts) else {
        return Ok(None);
    };
    let restarts = number(RESTARTS, &restarts)?;
    Ok(Some(ContainerRun {
        container,
        restarts,
    }))
}

fn number<T: FromStr>(annotation: &str, text: &str) -> Result<T, Malformed> {
    decimal(text).ok_or_else(|| {
        Malformed(format!(
            "its annotation {annotation} is {:?}, and should be a number",
            start_of(text)
        ))
    })
}

/// The start of the text, enough to recognise it.
fn start_of(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
pub(crate) mod tests;
