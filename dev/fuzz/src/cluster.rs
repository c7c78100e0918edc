//! Locks in a cluster's objects, and an API server that answers as it is told.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use coord_core::Errno;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use kube::{Client, client::Body, core::DynamicObject};
use lockheed::store::{
    ClusterStore, ConfigMaps, Leases, Object, ObjectKind, Scope, Store, StoreErrorKind, Version,
    Watch,
};
use serde_json::{Value, json};

use crate::{Target, run_in_no_time, text_of};

pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "config-map",
        corpus: &[
            br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"lockheed-x","namespace":"ns","uid":"u","resourceVersion":"7","labels":{"lockheed/lock":"","a":"b"},"annotations":{"reserved/by":"z","note":"n"},"finalizers":["f"]},"data":{"lock":"{\"name\":\"x\",\"lockType\":\"\",\"leases\":null}","other":"kept"},"binaryData":{"b":"AA=="}}"#,
            br#"{"metadata":{"name":"lockheed-x","namespace":"ns","uid":"u","resourceVersion":"7","managedFields":[]},"data":{"a":1},"immutable":true}"#,
            br#"{"kind":"Status","code":404}"#,
        ],
        cases: 400,
        holds: objects::<ConfigMaps>,
    },
    Target {
        name: "lease",
        corpus: &[
            br#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"x","namespace":"ns","uid":"u","resourceVersion":"7","annotations":{"a":"b"}},"spec":{"holderIdentity":"z","leaseDurationSeconds":15,"acquireTime":"2030-01-02T03:04:05.123456Z","renewTime":"2030-01-02T03:04:05.123456Z","leaseTransitions":3,"strategy":"OldestEmulationVersion"}}"#,
            br#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"x","namespace":"ns","uid":"u","resourceVersion":"7","annotations":{"lockheed/record":"{\"name\":\"x\",\"leases\":{},\"z\":1}","lockheed/record-of":"{}","lockheed/data":"{\"k\":\"v\"}","reserved/by":"q"}},"spec":{}}"#,
            br#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"uid":"u","resourceVersion":"7"},"spec":{"leaseDurationSeconds":2147483647,"renewTime":"9999-12-31T23:59:59.999999Z","holderIdentity":"z"}}"#,
        ],
        cases: 400,
        holds: objects::<Leases>,
    },
    Target {
        name: "answer",
        corpus: &[
            b"429\nFri, 31 Dec 9999 23:59:59 GMT\n18446744073709551615\n{\"kind\":\"Status\",\"code\":429,\"reason\":\"TooManyRequests\",\"details\":{\"retryAfterSeconds\":4294967295}}",
            b"503\nThu, 01 Jan 1970 00:00:00 GMT\n4294967295\n<html>",
            b"200\nSunday, 06-Nov-94 08:49:37 GMT\n\n{}",
            b"403\n\n-1\n{\"kind\":\"Status\",\"code\":7}",
        ],
        cases: 400,
        holds: answers,
    },
    Target {
        name: "watch",
        corpus: &[
            b"{\"type\":\"ADDED\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"lockheed-x\",\"uid\":\"u\",\"resourceVersion\":\"7\",\"labels\":{\"lockheed/lock\":\"\"}},\"data\":{\"lock\":\"{}\"}}}\n{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"lockheed-x\",\"resourceVersion\":\"8\"}}}\n",
            b"{\"type\":\"BOOKMARK\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"resourceVersion\":\"9\"}}}\r\n\r\n",
            b"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}}\n",
            b"{\"type\":\"MODIFIED\",\"object\":{}}\n{",
        ],
        cases: 300,
        holds: watches,
    },
];

/// A client whose requests are answered by this function.
pub(crate) fn client(
    answer: impl Fn(&Request<Vec<u8>>) -> Response<Vec<u8>> + Send + Sync + 'static,
) -> Client {
    let answer = Arc::new(answer);
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?.to_vec();
            let answer = answer(&Request::from_parts(head, body));
            Ok::<_, kube::Error>(answer.map(Body::from))
        }
    });
    Client::new(service, "ns")
}

/// An answer with a date.
pub(crate) fn answer(code: u16, body: &[u8]) -> Response<Vec<u8>> {
    let mut answer = Response::new(body.to_vec());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    let date = HeaderValue::from_static("Wed, 02 Jan 2030 03:04:05 GMT");
    answer.headers_mut().insert(header::DATE, date);
    answer
}

pub(crate) fn status(code: u16) -> Response<Vec<u8>> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "code": code, "message": "no"});
    answer(code, body.to_string().as_bytes())
}

fn store<K: ObjectKind>(client: Client) -> ClusterStore<K> {
    ClusterStore::new(client, "ns").expect("a namespace")
}

/// Writing a lock keeps what the object says about other things.
fn objects<K: ObjectKind>(bytes: &[u8]) {
    let body = bytes.to_vec();
    let written = Arc::new(Mutex::new(None));
    let put = written.clone();
    let client = move || {
        client(move |request| match *request.method() {
            Method::GET => answer(200, &body),
            Method::PUT => {
                let body = request.body();
                *put.lock().unwrap_or_else(PoisonError::into_inner) = Some(body.clone());
                answer(200, body)
            }
            _ => status(500),
        })
    };
    let lock = "x".parse().expect("a name");
    let both = run_in_no_time(async {
        let store = store::<K>(client());
        let read = store.get(&lock).await.ok()?;
        if read.uid.is_empty() || read.version == Version::default() {
            return None;
        }
        match store.update(&read).await {
            Ok(updated) => Some((read, updated)),
            // An object that cannot be this lock cannot be written either, and the error says that
            // it is invalid.
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
                assert_eq!(error.errno(), Errno::EINVAL);
                None
            }
        }
    });
    let Some((read, updated)) = both else {
        return;
    };
    let rest = updated.rest.clone();
    assert_eq!(
        Object {
            rest,
            ..read.clone()
        },
        updated
    );
    assert_eq!(read.record().ok(), updated.record().ok());
    let written = written
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let written: Value = serde_json::from_slice(&written.expect("a write")).expect("JSON");
    let mut before: DynamicObject = serde_json::from_slice(bytes).expect("an object");
    // No server sends an object that names its kind twice, or half of it.
    if ["kind", "apiVersion"]
        .iter()
        .any(|key| before.data.get(key).is_some())
    {
        return;
    }
    let metadata = &mut before.metadata;
    metadata.managed_fields = None;
    (metadata.name, metadata.namespace) = (
        written["metadata"]["name"].as_str().map(Into::into),
        Some("ns".into()),
    );
    if let Some(label) = K::LABEL {
        let labels = metadata.labels.get_or_insert_default();
        labels.entry(label.to_owned()).or_default();
        let data = before.data["data"].take();
        let texts = data
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| value.is_string());
        before.data["data"] = texts
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
    }
    if metadata
        .annotations
        .as_ref()
        .is_some_and(std::collections::BTreeMap::is_empty)
    {
        metadata.annotations = None;
    }
    assert_eq!(written, serde_json::to_value(before).expect("JSON"));
}

/// The bytes are the status, `Date` and `Retry-After`, each on a line, and then the body.
fn answers(bytes: &[u8]) {
    let mut parts = bytes.splitn(4, |&byte| byte == b'\n');
    let mut part = || parts.next().unwrap_or_default().to_vec();
    let (code, date, after, body) = (part(), part(), part(), part());
    let code = text_of(&code)
        .parse()
        .ok()
        .filter(|code| (200..600).contains(code));
    let Some(code) = code else { return };
    let client = move || {
        client(move |_| {
            let mut answer = answer(code, &body);
            answer.headers_mut().clear();
            for (name, value) in [(header::DATE, &date), (header::RETRY_AFTER, &after)] {
                if let Ok(value) = HeaderValue::from_bytes(value) {
                    answer.headers_mut().insert(name, value);
                }
            }
            answer
        })
    };
    run_in_no_time(async {
        let store = store::<ConfigMaps>(client());
        let got = store.get(&"x".parse().expect("a name")).await;
        assert!(got.is_err() || code < 400);
        if let Err(error) = got {
            let _ = (error.to_string(), error.wanted_wait());
        }
        let _ = store.list().await;
        if let Ok(now) = store.now().await {
            assert_eq!(now.to_string().parse(), Ok(now));
        }
    });
}

/// A watch reports at most one change for each line, and then ends when the server says so.
fn watches(bytes: &[u8]) {
    let (body, begun) = (bytes.to_vec(), AtomicBool::new(false));
    let client = move || {
        client(move |_| match begun.swap(true, Ordering::Relaxed) {
            false => answer(200, &body),
            true => status(410),
        })
    };
    let lines = bytes.split(|&byte| byte == b'\n').count();
    run_in_no_time(async {
        let store = store::<ConfigMaps>(client());
        let Ok(mut watch) = store.watch(&Scope::All, None).await else {
            return;
        };
        let mut told = 0;
        while let Ok(Some(change)) = watch.next().await {
            told += 1;
            assert!(told <= lines, "{change:?}");
            let _ = change.object().record();
        }
    });
}
