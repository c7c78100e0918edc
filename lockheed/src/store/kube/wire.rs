//! A lock as a ConfigMap.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Map, Value};

use super::{Object, StoreError, WriteContext, invalid, metadata};
use crate::{
    LockName,
    store::{LABEL, RECORD},
};

const KIND: &str = "ConfigMap";

/// Reads a lock from a ConfigMap. One without `data.lock` was made beforehand, and is free. One
/// with `data.lock` but without the label belongs to somebody else.
pub(super) fn read(lock: &LockName, found: DynamicObject) -> Result<Object, StoreError> {
    let is_used = found.data["data"].get(RECORD).is_some();
    if is_used && !is_labelled(&found) {
        return Err(no_lock(&found));
    }
    Ok(last(lock, found))
}

/// Checks that deleting the ConfigMap deletes nothing but the lock, as far as [`Object::rest`]
/// tells.
pub(super) fn check_deletable(name: &str, lock: &Object) -> Result<(), StoreError> {
    let Some(found) = metadata::kept(KIND, lock)? else {
        return Ok(());
    };
    if !is_labelled(&found) {
        return Err(no_lock(&found));
    }
    if found.data.get("binaryData").is_some() {
        return Err(invalid(format!(
            "ConfigMap {name:?} has other data (\"binaryData\"), which would go with it"
        )));
    }
    Ok(())
}

fn is_labelled(found: &DynamicObject) -> bool {
    let labels = found.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(LABEL))
}

fn no_lock(found: &DynamicObject) -> StoreError {
    let name = found.metadata.name.as_deref().unwrap_or_default();
    invalid(format!(
        "ConfigMap {name:?} exists but is not a lockheed lock (it has no label {LABEL:?}); leaving it unchanged"
    ))
}

/// Reads a deleted ConfigMap, whatever it was.
pub(super) fn last(lock: &LockName, mut found: DynamicObject) -> Object {
    let object = metadata::take(lock, &mut found);
    let data = take_data(&mut found.data);
    let rest = metadata::keep(&found);
    Object {
        data,
        rest,
        ..object
    }
}

/// Builds the ConfigMap of a lock, with the label of all locks.
pub(super) fn write(at: &WriteContext<'_>, lock: &Object) -> Result<DynamicObject, StoreError> {
    let mut new = metadata::kept(KIND, lock)?.unwrap_or_else(|| {
        let mut new = DynamicObject::new(at.name, &ApiResource::erase::<ConfigMap>(&()));
        new.data = Value::Object(Map::new());
        new
    });
    let labels = new.metadata.labels.get_or_insert_default();
    labels.entry(LABEL.to_owned()).or_default();
    metadata::put(&mut new, at, lock);
    let data = lock
        .data
        .iter()
        .map(|(key, text)| (key.clone(), Value::from(text.as_str())));
    new.data["data"] = Value::Object(data.collect());
    Ok(new)
}

fn take_data(whole: &mut Value) -> BTreeMap<String, String> {
    let data = whole.as_object_mut().and_then(|whole| whole.remove("data"));
    let Some(Value::Object(data)) = data else {
        return BTreeMap::new();
    };
    // The API server accepts only strings here.
    let texts = data.into_iter().filter_map(|(key, value)| match value {
        Value::String(text) => Some((key, text)),
        _ => None,
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Timestamp, store::StoreErrorKind};

    const AT: WriteContext<'_> = WriteContext {
        name: "lockheed-x",
        namespace: "ns",
        labels: &BTreeMap::new(),
        now: Timestamp::NEVER,
    };

    fn found(object: Value) -> DynamicObject {
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_not_about_the_lock_goes_back_as_it_came() {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "immutable": false, "ofTheFuture": {"a": [1]},
            "binaryData": {"b": "AAE="},
            "data": {"lock": "{}", "theirs": "kept"},
            "metadata": {"name": "lockheed-x", "namespace": "ns", "uid": "u", "resourceVersion": "7",
                "labels": {LABEL: "", "team": "ours"}, "annotations": {"note": "kept"}, "finalizers": ["f"],
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p"}]},
        });
        let lock: LockName = "x".parse().unwrap();
        let read = read(&lock, found(object.clone())).unwrap();
        assert_eq!((&*read.uid, read.version.as_str()), ("u", "7"));
        assert_eq!(read.data["theirs"], "kept");
        assert_eq!(read.annotations["note"], "kept");
        let written = write(&AT, &read).unwrap();
        assert_eq!(serde_json::to_value(&written).unwrap(), object);
    }

    #[test]
    fn a_new_one_has_the_label_and_nothing_that_the_server_decides() {
        let lock: LockName = "x".parse().unwrap();
        let mut new = Object::new(&lock);
        new.data.insert("lock".to_owned(), "{}".to_owned());
        let written = write(&AT, &new).unwrap();
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"lock": "{}"},
            "metadata": {"name": "lockheed-x", "namespace": "ns", "labels": {LABEL: ""}}});
        assert_eq!(serde_json::to_value(&written).unwrap(), expected);
    }

    #[test]
    fn labels_are_added_and_those_that_are_there_kept() {
        let lock: LockName = "x".parse().unwrap();
        let ours = [("team".to_owned(), "db".to_owned())].into();
        let at = WriteContext {
            labels: &ours,
            ..AT
        };
        let labels = |labels: &Value| {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lockheed-x", "labels": labels}});
            let read = read(&lock, found(object)).unwrap();
            write(&at, &read).unwrap().metadata.labels.unwrap()
        };
        let expected = |more: &[(&str, &str)]| -> BTreeMap<String, String> {
            let all = [(LABEL, ""), ("team", "db")].iter().chain(more);
            all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        assert_eq!(labels(&json!({})), expected(&[]));
        assert_eq!(
            labels(&json!({"team": "web", "a": "b"})),
            expected(&[("a", "b")])
        );
        assert_eq!(labels(&json!({LABEL: "yes"})), expected(&[(LABEL, "yes")]));
    }

    #[test]
    fn without_the_label_it_is_no_lock() {
        let other = json!({"metadata": {"name": "lockheed-x"}, "data": {"lock": "{}"}});
        let error = read(&"x".parse().unwrap(), found(other)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Invalid);
        assert!(
            error
                .to_string()
                .contains("\"lockheed-x\" exists but is not a lockheed lock"),
            "{error}"
        );
    }
}
