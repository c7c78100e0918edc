use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// As the Go program writes it.
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
        run: Some(Run {
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
