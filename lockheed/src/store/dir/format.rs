//! A lock as its file has it: the record's JSON, and under `store` what a ConfigMap has around it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::place::Place;
use crate::{
    LockName, Record,
    store::{Object, RECORD, Version},
};

const AROUND: &str = "store";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Around {
    version: u64,
    #[serde(default)]
    uid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    data: BTreeMap<String, String>,
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// An object, and the boot in which it was written; none for one that was made by hand.
pub(super) struct Read {
    pub(super) object: Object,
    boot: Option<String>,
}

/// A text that is no lock is an object too, whose record cannot be read: whoever uses it says so.
pub(super) fn read(name: &LockName, text: &str) -> Read {
    let (record, around) = parse(text).unwrap_or((text.to_owned(), None));
    let mut object = Object::new(name);
    let Some(around) = around else {
        object.data.insert(RECORD.to_owned(), record);
        return Read { object, boot: None };
    };
    object.version = Version::new(around.version.to_string());
    object.uid = around.uid;
    object.annotations = around.annotations;
    object.data = around.data;
    object.data.insert(RECORD.to_owned(), record);
    object.rest = Value::Object(around.other).to_string();
    Read {
        object,
        boot: around.boot,
    }
}

pub(super) fn write(object: &Object, boot: &str) -> String {
    let mut data = object.data.clone();
    let record = data.remove(RECORD).unwrap_or_default();
    let mut file: Map<String, Value> = serde_json::from_str(&record).unwrap_or_default();
    let around = Around {
        version: object.version.as_str().parse().unwrap_or(0),
        uid: object.uid.clone(),
        boot: Some(boot.to_owned()),
        annotations: object.annotations.clone(),
        data,
        other: serde_json::from_str(&object.rest).unwrap_or_default(),
    };
    file.insert(
        AROUND.to_owned(),
        serde_json::to_value(around).unwrap_or_default(),
    );
    let mut text = Value::Object(file).to_string();
    text.push('\n');
    text
}

/// Drops the leases that are void: all of another boot, and those whose holder has died.
pub(super) fn drop_void(read: &mut Read, place: &Place, is_dead: impl Fn(u64) -> bool) {
    let Some(text) = read.object.data.get_mut(RECORD) else {
        return;
    };
    let Ok(mut record) = Record::from_json(text) else {
        return;
    };
    let here = read.boot.as_ref().is_none_or(|boot| *boot == place.boot);
    let before = record.leases.len();
    record
        .leases
        .retain(|_, lease| here && !lease.alive.is_some_and(&is_dead));
    if record.leases.len() < before {
        *text = record.to_json();
    }
}

fn parse(text: &str) -> Option<(String, Option<Around>)> {
    let mut file: Map<String, Value> = serde_json::from_str(text).ok()?;
    let Some(around) = file.remove(AROUND) else {
        return Some((text.to_owned(), None));
    };
    let around = serde_json::from_value(around).ok()?;
    Some((Value::Object(file).to_string(), Some(around)))
}
