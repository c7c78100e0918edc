//! The leader election fields of a Lease, as client-go reads and writes them.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use crate::{Lease, Record, Timestamp};

const SECOND: Duration = Duration::from_secs(1);

/// The leader election fields. Other fields of `spec` are left unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    /// Empty or missing if nobody holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) holder_identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease_duration_seconds: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acquire_time: Option<MicroTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) renew_time: Option<MicroTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lease_transitions: Option<i32>,
}

/// A time with exactly six fractional digits: the API server accepts no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct MicroTime(Timestamp);

impl Spec {
    pub(super) fn of(spec: &Value) -> Result<Self, serde_json::Error> {
        Option::<Self>::deserialize(spec).map(Option::unwrap_or_default)
    }

    /// Writes these fields over the existing ones.
    pub(super) fn put(&self, spec: &mut Value) {
        if !spec.is_object() {
            *spec = json!({});
        }
        // Strings, numbers and times can always be written.
        if let (Some(spec), Ok(Value::Object(fields))) =
            (spec.as_object_mut(), serde_json::to_value(self))
        {
            spec.extend(fields);
        }
    }

    /// The record with the lease that these fields describe, and no other.
    pub(super) fn over(&self, mut record: Record) -> Record {
        let lease = self.lease().into_iter();
        record.leases = lease.map(|lease| (lease.holder.clone(), lease)).collect();
        record
    }

    /// The holder by these fields alone. A lease without a time is over once it was seen for its
    /// length. A lease without a length is over at once, as for client-go.
    fn lease(&self) -> Option<Lease> {
        let holder = self.holder_identity.as_deref()?;
        if holder.is_empty() {
            return None;
        }
        let seconds = self.lease_duration_seconds.unwrap_or_default();
        let length = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let expires = match self.renew_time {
            Some(MicroTime(renewed)) => before_never(renewed.plus(length)),
            None if length.is_zero() => Timestamp::from_unix(Duration::ZERO),
            None => before_never(Timestamp::NEVER),
        };
        Some(Lease::new(holder, expires, Some(length)).by_holders_clock())
    }

    /// The fields to write when the lock changes from `old`, if there was one, to `new`.
    pub(super) fn becoming(&self, new: &Record, old: Option<&Record>, now: Timestamp) -> Self {
        let (lease, before) = (last_to_end(new), old.map(last_to_end));
        let is_unchanged = match (before, lease) {
            (Some(None), None) => true,
            (Some(Some((id, before))), Some((holder, lease))) => {
                id == holder && lease.is_same(before)
            }
            _ => false,
        };
        if is_unchanged {
            return self.clone();
        }
        let transitions = self.lease_transitions.unwrap_or_default();
        let Some((holder, lease)) = lease else {
            // Releases in the way client-go does.
            let now = MicroTime::of(now);
            return Self {
                holder_identity: Some(String::new()),
                lease_duration_seconds: Some(1),
                acquire_time: Some(now),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
            };
        };
        let is_same = self.holder_identity.as_ref() == Some(holder);
        let last = self.renew_time.filter(|_| is_same);
        let renewed = renewed(lease, now, last);
        let acquired = self.acquire_time.filter(|_| is_same).unwrap_or(renewed);
        let more = i32::from(!is_same && before.is_some());
        Self {
            holder_identity: Some(holder.clone()),
            lease_duration_seconds: Some(seconds(lease, now)),
            acquire_time: Some(acquired),
            renew_time: Some(renewed),
            lease_transitions: Some(transitions.saturating_add(more)),
        }
    }
}

/// When a lease was written. Others notice a renewal by this time, and client-go compares whole
/// seconds. So the second is higher than the one `before` in the same holder's lease, even if the
/// clock has been set back: after a time that was there before, a renewal could go unnoticed.
fn renewed(lease: &Lease, now: Timestamp, before: Option<MicroTime>) -> MicroTime {
    let written = match lease.duration() {
        Some(length) if !lease.expires.is_never() => lease.expires.minus(length),
        _ => now,
    };
    let next = before.map(|MicroTime(before)| before.to_the_second().plus(SECOND));
    MicroTime::of(next.map_or(written, |next| written.max(next)))
}

/// The lease that ends last, with its holder's ID.
fn last_to_end(record: &Record) -> Option<(&String, &Lease)> {
    let leases = record.leases.iter();
    leases.max_by_key(|(_, lease)| lease.expires)
}

/// The length in whole seconds, rounded up, so that others who count them come later. A lease
/// without an end has the largest possible number.
fn seconds(lease: &Lease, now: Timestamp) -> i32 {
    if lease.expires.is_never() {
        return i32::MAX;
    }
    let length = lease.duration();
    let length = length.unwrap_or_else(|| lease.expires.after(now));
    let whole = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX).max(1)
}

/// Keeps a lease with a length from becoming one without an end.
fn before_never(time: Timestamp) -> Timestamp {
    time.min(Timestamp::NEVER.minus(SECOND))
}

impl MicroTime {
    fn of(time: Timestamp) -> Self {
        let second = time.to_the_second();
        let micros = time.after(second).subsec_micros();
        Self(second.plus(Duration::from_micros(micros.into())))
    }
}

impl Serialize for MicroTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let second = self.0.to_the_second();
        let micros = self.0.after(second).subsec_micros();
        let text = second.to_string();
        let text = text.trim_end_matches('Z');
        serializer.collect_str(&format_args!("{text}.{micros:06}Z"))
    }
}
