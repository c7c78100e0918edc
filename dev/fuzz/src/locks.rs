//! lockheed's locks: the record, the annotations beside it, and the files of a directory.

use std::{fs, num::NonZeroU32, sync::Arc, time::Duration};

use coord_core::Errno;
use lockheed::{
    DirStore, ErrorKind, Lock, LockName, MemoryStore, Record, inspect,
    store::{Object, RECORD, Store},
};
use serde_json::{Map, Value};

use crate::{Target, directory, run, text_of};

const GO: &[u8] = br#"{"name":"x","lockType":"mutex","leases":{"a1":{"instanceID":"a1","expires":"2030-01-02T03:04:05.123456789+02:00","note":[1,null]}},"tags":["x"],"more":{"b":1.5}}"#;
const OURS: &[u8] = br#"{"name":"x","lockType":"mutex","leases":{"me":{"instanceID":"me","expires":"2030-01-02T03:04:05Z","durationMillis":30500,"holderClock":true,"token":7,"proofOfLife":3,"nonce":"ff","passed":1,"granted":0}},"room":2}"#;

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "record",
        corpus: &[GO, OURS, br#"{"leases":null,"tags":null,"mode":"x"}"#],
        cases: 1000,
        holds: records,
    },
    Target {
        name: "object",
        corpus: OBJECTS,
        cases: 1000,
        holds: objects,
    },
    Target {
        name: "cycle",
        corpus: OBJECTS,
        cases: 200,
        holds: cycles,
    },
    Target {
        name: "dir-lock",
        corpus: &[
            GO,
            br#"{"leases":{"me":{"instanceID":"me","expires":"2030-01-02T03:04:05Z","proofOfLife":1}},"store":{"version":7,"uid":"dir-7","boot":"b","timeNamespace":"t","epoch":{"secs":1,"nanos":2},"queue":3,"annotations":{"a":"b"},"data":{"k":"v"},"more":1},"z":[]}"#,
            br#"{"leases":{},"store":{"version":7,"boot":"BOOT","timeNamespace":"TIMENS","epoch":{"secs":18446744073709551615,"nanos":999999999}}}"#,
            br#"{"leases":{},"store":{"version":7,"uid":"dir-7","epoch":{"secs":1,"qanos":2},"annotations":{"a":"b"},"data":{"k":"v"}}}"#,
            b"\xef\xbb\xbf{}",
        ],
        cases: 200,
        holds: lock_files,
    },
    Target {
        name: "dir-counter",
        corpus: &[b"7\n", b"7\n1007 0-0\n", b"18446744073709551614\n18446744073709551615 b\n", b"+7\n", b"7"],
        cases: 200,
        holds: counters,
    },
    Target {
        name: "dir-clock",
        corpus: &[
            br#"{"boot":"BOOT","timeNamespace":"TIMENS","epoch":{"secs":1893553445,"nanos":5}}"#,
            br#"{"boot":"BOOT","timeNamespace":"TIMENS","epoch":{"secs":18446744073709551615,"nanos":999999999}}"#,
            br#"{"boot":"b","timeNamespace":"t","epoch":{"secs":0,"nanos":0}}"#,
            &[b' '; 5000],
        ],
        cases: 200,
        holds: clocks,
    },
];

/// The record, and then one annotation on each line.
const OBJECTS: &[&[u8]] = &[
    b"{\"name\":\"x\",\"leases\":{\"lockheed/shared\":{\"instanceID\":\"lockheed/shared\",\"expires\":\"2030-01-02T03:04:05Z\",\"z\":1}}}\nlockheed/holders={\"slots\":2,\"leases\":{\"a\":{\"instanceID\":\"a\",\"expires\":\"2030-01-02T03:04:05Z\",\"q\":{}}}}\nnote=kept",
    b"{\"name\":\"x\",\"leases\":{},\"extra\":[1,{\"a\":null}],\"tags\":[\"t\"]}\nlockheed/queue=[{\"id\":\"w\",\"since\":\"2030-01-02T03:04:05Z\",\"priority\":4294967295,\"raised\":4294967295,\"shared\":true,\"slots\":3,\"durationMillis\":18446744073709551615,\"nonce\":\"1\",\"proofOfLife\":9,\"more\":1},7,{\"id\":3}]\nreserved/by=z\nreserved/expires=1970-01-01T00:00:00Z",
    b"{\"leases\":{\"a\":{\"instanceID\":\"b\",\"expires\":\"1970-01-01T00:00:00Z\",\"durationMillis\":18446744073709551615}}}\nlockheed/broken={\"by\":\"a\"}\nlockheed/settled=1\nlockheed/key=\xff",
    b"{\"leases\":{\"a\":{\"expires\":\"1971-01-01T00:00:08Z\",\"other\":18446744073736407074709551615}}}",
    GO,
    OURS,
];

fn lock() -> LockName {
    "x".parse().expect("a name")
}

fn object(bytes: &[u8]) -> Object {
    let text = text_of(bytes);
    let mut lines = text.split('\n');
    let mut object = Object::new(&lock());
    let record = lines.next().unwrap_or_default();
    object.data.insert(RECORD.to_owned(), record.to_owned());
    object.data.insert("other".to_owned(), "kept".to_owned());
    let annotations = lines.filter_map(|line| line.split_once('='));
    object.annotations = annotations
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    object
}

/// The fields of a JSON object that are not ours.
fn unknown(text: &str, known: &[&str]) -> Map<String, Value> {
    let mut whole: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
    whole.retain(|key, _| !known.contains(&&**key));
    whole
}

const KNOWN: &[&str] = &["name", "lockType", "leases", "tags", "room"];

fn records(bytes: &[u8]) {
    let text = text_of(bytes);
    let Ok(record) = Record::from_json(&text) else {
        return;
    };
    let written = record.to_json();
    assert!(!written.contains('\n'));
    assert_eq!(Record::from_json(&written).ok().as_ref(), Some(&record));
    assert_eq!(unknown(&written, KNOWN), unknown(&text, KNOWN));
    let (before, after): (Value, Value) = (
        serde_json::from_str(&text).expect("JSON"),
        serde_json::from_str(&written).expect("JSON"),
    );
    for (id, lease) in before["leases"].as_object().into_iter().flatten() {
        let kept = &after["leases"][id];
        for (key, value) in lease.as_object().into_iter().flatten() {
            let normal = ["expires", "holderClock"].contains(&&**key) || value.is_null();
            assert!(normal || kept[key] == *value, "{key}: {value}");
        }
    }
}

fn objects(bytes: &[u8]) {
    let read = object(bytes);
    let Ok(record) = read.record() else {
        return;
    };
    let mut written = read.clone();
    written.set_record(&record);
    let mut again = written.record().expect("what was written");
    if record.leases.is_empty() {
        again.mode = record.mode;
    }
    assert_eq!(again, record);
    let others = |object: &Object| {
        let mut others = object.clone();
        others.annotations.remove("lockheed/holders");
        others.data.remove(RECORD);
        others
    };
    assert_eq!(others(&written), others(&read));
}

/// The lock is acquired and released, or it is left unchanged. In both cases, everything that is
/// not about the lock stays.
fn cycles(bytes: &[u8]) {
    let found = object(bytes);
    run(async {
        let store = Arc::new(MemoryStore::new());
        let made = store.create(&found).await.expect("an object");
        let _ = inspect(&store, &lock()).await;
        let wanted = Lock::new(store.clone(), lock()).id("fuzz");
        let wanted = wanted.duration(Duration::from_secs(30));
        let wanted = match bytes.len() % 4 {
            0 => wanted,
            1 => wanted.shared(),
            2 => wanted.slots(NonZeroU32::MIN),
            _ => wanted.fair(),
        };
        let acquire = wanted.acquire_within(Duration::from_millis(1));
        let acquired = tokio::time::timeout(Duration::from_secs(5), acquire).await;
        let kind = match acquired.expect("an answer in time") {
            Ok(held) => {
                held.release().await.expect("it is ours");
                None
            }
            Err(error) => Some(error.kind()),
        };
        let left = store.get(&lock()).await.expect("an object");
        if kind == Some(ErrorKind::Invalid) {
            assert_eq!(left, made);
        }
        let foreign = |object: &Object| {
            let mut foreign = object.annotations.clone();
            foreign.retain(|key, _| !key.starts_with("lockheed/") && !key.starts_with("reserved/"));
            foreign
        };
        assert_eq!(foreign(&left), foreign(&made));
        assert_eq!(left.data["other"], "kept");
        let (before, after) = (&made.data[RECORD], &left.data[RECORD]);
        assert_eq!(unknown(after, KNOWN), unknown(before, KNOWN));
    });
}

/// Replaces words in capitals by facts of this machine.
fn here(bytes: &[u8]) -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("this boot");
    let namespace = fs::read_link("/proc/self/ns/time").unwrap_or_default();
    let text = text_of(bytes).replace("BOOT", boot.trim());
    text.replace("TIMENS", &namespace.to_string_lossy())
}

/// A lock's file with any content.
fn lock_files(bytes: &[u8]) {
    let bytes = here(bytes);
    let bytes = bytes.as_bytes();
    let directory = directory();
    let path = directory.path().join("x.json");
    fs::write(&path, bytes).expect("a file");
    fs::write(directory.path().join(".counter"), "1000\n").expect("a file");
    run(async {
        let store = match DirStore::open(directory.path()) {
            Ok(store) => store,
            // If nothing else says what the clock shows, the lock's file does, and may be invalid.
            Err(error) => return assert_eq!(error.errno(), Errno::EINVAL, "{error}"),
        };
        store.list().await.expect("a directory");
        store.now().await.expect("a clock");
        let read = store.get(&lock()).await;
        let Some(read) = read.ok().filter(|read| read.record().is_ok()) else {
            let wanted = Lock::new(store, lock()).id("fuzz");
            wanted.try_acquire().await.map(drop).expect_err("no lock");
            assert_eq!(fs::read(&path).expect("the file"), bytes);
            return;
        };
        let updated = store.update(&read).await.expect("it is as it was");
        let again = store.get(&lock()).await.expect("a lock");
        assert_eq!(again, updated);
        let expected = Object {
            version: again.version.clone(),
            annotations: again.annotations.clone(),
            data: again.data.clone(),
            rest: again.rest.clone(),
            ..read.clone()
        };
        assert_eq!(again, expected);
        assert_eq!(again.record().ok(), read.record().ok());
        let (before, after) = (text_of(bytes), fs::read_to_string(&path).expect("the file"));
        let known = [KNOWN, &["store"]].concat();
        assert_eq!(unknown(&after, &known), unknown(&before, &known));
    });
}

/// Numbers never go back: a counter with a number is continued, and a counter without one is an
/// error.
fn counters(bytes: &[u8]) {
    let directory = directory();
    let path = directory.path().join(".counter");
    run(async {
        let store = DirStore::open(directory.path()).expect("a directory");
        fs::write(&path, bytes).expect("a file");
        let said = text_of(bytes);
        let said: Option<u64> = said.lines().next().and_then(|line| line.parse().ok());
        match store.create(&Object::new(&lock())).await {
            Ok(made) => {
                let number = made.version.number().expect("a number").get();
                assert!(said.is_some_and(|said| number > said), "{number}");
            }
            Err(error) => {
                assert!(
                    [Errno::EINVAL, Errno::EOVERFLOW, Errno::EFBIG].contains(&error.errno()),
                    "{error}"
                );
                assert_eq!(fs::read(&path).expect("the file"), bytes);
            }
        }
    });
}

/// The file by which the directory's time is counted.
fn clocks(bytes: &[u8]) {
    const LONGEST: usize = 4096;
    let directory = directory();
    let file = here(bytes);
    let refused = if file.len() > LONGEST {
        Errno::EFBIG
    } else {
        Errno::EINVAL
    };
    fs::write(directory.path().join(".clock"), file).expect("a file");
    run(async {
        match DirStore::open(directory.path()) {
            Ok(store) => {
                let now = store.now().await.expect("a clock");
                assert_eq!(now.to_string().parse(), Ok(now));
                store.create(&Object::new(&lock())).await.expect("a lock");
            }
            Err(error) => assert_eq!(error.errno(), refused, "{error}"),
        }
    });
}
