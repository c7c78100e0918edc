use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// An object as the Go program writes it.
fn of_go() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"expiresAt": "1900000000"},
        "metadata": {"name": "migrate", "namespace": "ci", "uid": "c1", "resourceVersion": "7", "labels": {"team": "db"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web-0", "uid": "p1", "controller": true, "blockOwnerDeletion": false}]}})
}

fn read(object: &Value) -> Result<Record, Malformed> {
    Record::read(&serde_json::from_value(object.clone()).unwrap())
}

pub(crate) fn holder() -> Holder {
    Holder {
        id: "id-1".to_owned(),
        owner: Owner {
            name: "web-0".to_owned(),
            uid: "p1".to_owned(),
        },
        run: Some(ContainerRun {
            container: "main".to_owned(),
            restarts: 2,
        }),
    }
}

#[test]
fn what_a_go_program_writes_is_read() {
    let record = read(&of_go()).unwrap();
    assert_eq!(
        record.owner,
        Owner {
            name: "web-0".to_owned(),
            uid: "p1".to_owned()
        }
    );
    assert_eq!(record.expires, Some(Time::from_secs(1_900_000_000)));
    assert_eq!(
        (record.holder, record.run, record.deleting),
        (None, None, false)
    );
    let mut endless = of_go();
    endless["data"] = Value::Null;
    assert_eq!(read(&endless).unwrap().expires, None);
}

#[test]
fn what_is_written_is_what_a_go_program_reads() {
    let labels = BTreeMap::from([("team".to_owned(), "db".to_owned())]);
    let written = new(
        "migrate",
        &labels,
        &holder(),
        Some(Time::from_secs(1_900_000_000)),
        NewLease::new(Nonce(1)),
    );
    let json = serde_json::to_value(&written).unwrap();
    let go = of_go();
    assert_eq!(
        json["metadata"]["ownerReferences"],
        go["metadata"]["ownerReferences"]
    );
    assert_eq!(
        (&json["data"], &json["metadata"]["labels"]),
        (&go["data"], &go["metadata"]["labels"])
    );
    let back = Record::read(&written).unwrap();
    assert!(back.is_held_by(&holder()));
    assert_eq!(back.run, holder().run);
    assert_eq!(
        new(
            "x",
            &BTreeMap::new(),
            &holder(),
            None,
            NewLease::new(Nonce(1))
        )
        .data,
        None
    );
}

// Holds cmlock-8.
#[test]
fn malformed_objects_say_what_is_wrong() {
    let one = of_go()["metadata"]["ownerReferences"][0].clone();
    let with = |path: &str, value: Value| {
        let mut object = of_go();
        *object.pointer_mut(path).unwrap() = value;
        read(&object).unwrap_err().to_string()
    };
    assert!(with("/metadata/ownerReferences", json!([])).contains("no ownerReference"));
    assert!(with("/metadata/ownerReferences", Value::Null).contains("no ownerReference"));
    assert!(with("/metadata/ownerReferences", json!([one, one])).contains("2 ownerReferences"));
    assert!(with("/metadata/ownerReferences/0/kind", json!("Job")).contains("\"Job\""));
    assert!(with("/metadata/ownerReferences/0/uid", json!("")).contains("cannot be one"));
    assert!(
        with("/metadata/ownerReferences/0/name", json!("../../pods")).contains("cannot be one")
    );
    for text in [
        "",
        "soon",
        "-1",
        "+1",
        "1.5",
        " 1",
        "99999999999999999999999",
    ] {
        assert!(
            with("/data/expiresAt", json!(text)).contains("decimal seconds"),
            "{text:?}"
        );
    }
    let long = with("/data/expiresAt", json!("soon".repeat(100)));
    assert!(long.contains(&format!("{:?}", "soon".repeat(20))), "{long}");
}

/// The metadata that a client sees in a list, without the data.
fn meta(object: &Value) -> ObjectMeta {
    serde_json::from_value(object["metadata"].clone()).unwrap()
}

#[cfg(feature = "client")]
#[test]
fn what_may_be_a_lock_is_told_from_other_objects() {
    let written = |fields: Value| json!([{"manager": "go", "fieldsV1": fields}]);
    let others = written(json!({"f:data": {"f:config": {}}}));
    let mut managed = of_go();
    managed["metadata"]["managedFields"] = others.clone();
    assert!(may_be_lock(&meta(&managed)) && looks_like(&meta(&managed)));
    let with = |kind: &str, controller: bool| {
        let mut object = managed.clone();
        let owner = &mut object["metadata"]["ownerReferences"][0];
        (owner["kind"], owner["controller"]) = (json!(kind), json!(controller));
        object
    };
    for (kind, controller) in [("Pod", false), ("Job", true), ("Job", false)] {
        let mut other = with(kind, controller);
        assert!(!may_be_lock(&meta(&other)), "{kind} {controller}");
        other["metadata"]["annotations"] = json!({"note": "id"});
        assert!(!may_be_lock(&meta(&other)), "{kind} {controller}");
        other["metadata"]["annotations"] = json!({HOLDER: "id"});
        assert!(may_be_lock(&meta(&other)), "{kind} {controller}");
    }
    let mut other = with("Job", true);
    other["metadata"]["managedFields"] = written(json!({"f:data": {"f:expiresAt": {}}}));
    assert!(may_be_lock(&meta(&other)) && !looks_like(&meta(&other)));
    // If the object does not say who wrote it, it is read.
    other["metadata"]["managedFields"] = Value::Null;
    assert!(may_be_lock(&meta(&other)));

    let is_one =
        |object: &Value| Record::looks_like(&serde_json::from_value(object.clone()).unwrap());
    assert!(is_one(&of_go()));
    let mut without_owner = with("Job", true);
    assert!(is_one(&without_owner), "it has an expiry");
    without_owner["data"] = json!({"config": "1"});
    assert!(!is_one(&without_owner));
}

#[test]
fn a_holder_is_told_from_all_others() {
    let written = |nonce| NewLease {
        passed: Some(3),
        ..NewLease::new(Nonce(nonce))
    };
    let second = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    let before = second();
    let object = new("migrate", &BTreeMap::new(), &holder(), None, written(258));
    assert_eq!(
        (nonce(&object), passed(&object)),
        (Some(Nonce(258)), Some(3))
    );
    let record = Record::read(&object).unwrap();
    assert_eq!((&*record.name, record.holder_id()), ("migrate", "id-1"));
    assert!((before..=second()).contains(&record.since.unwrap()));
    // A Go program writes no ID.
    assert_eq!(read(&of_go()).unwrap().holder_id(), "c1");
}

proptest! {
    #[test]
    fn any_expiry_is_read_or_malformed(text in ".{0,30}") {
        let mut object = of_go();
        object["data"]["expiresAt"] = json!(text);
        match read(&object) {
            Ok(record) => prop_assert!(text.bytes().all(|byte| byte.is_ascii_digit()) && record.expires.is_some()),
            Err(malformed) => prop_assert!(malformed.to_string().contains("expiresAt")),
        }
    }

    #[test]
    fn what_is_written_is_read_back(seconds in any::<Option<u32>>(), restarts in 0..i32::MAX, id in "[a-z0-9-]{1,40}") {
        let mut holder = holder();
        holder.id = id;
        holder.run.as_mut().unwrap().restarts = restarts;
        let expires = seconds.map(|seconds| Time::from_secs(seconds.into()));
        let record = Record::read(&new("x", &BTreeMap::new(), &holder, expires, NewLease::new(Nonce(1)))).unwrap();
        prop_assert!(record.is_held_by(&holder));
        prop_assert_eq!((record.expires, record.run), (expires, holder.run));
    }
}
