//! cmlock's locks, which belong to Pods.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use cmlock::{Client, PodName, Verdict, break_lock, release, status};
use http::Method;
use serde_json::Value;

use crate::{
    Target,
    cluster::{self, answer},
    run_in_no_time,
};

pub(crate) const TARGETS: &[Target] = &[Target {
    name: "pod-lock",
    corpus: &[
        b"{\"metadata\":{\"name\":\"x\",\"uid\":\"u\",\"resourceVersion\":\"7\",\"annotations\":{\"cmlock/holder\":\"me\",\"cmlock/container\":\"c\",\"cmlock/restarts\":\"1\",\"cmlock/since\":\"1893553445\",\"cmlock/nonce\":\"ff\"},\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"o\",\"controller\":true}]},\"data\":{\"expiresAt\":\"1893553445\"}}\0{\"metadata\":{\"name\":\"p\",\"uid\":\"o\"},\"status\":{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"c\",\"restartCount\":2,\"ready\":true,\"image\":\"i\",\"imageID\":\"\",\"state\":{\"running\":{\"startedAt\":\"2030-01-02T03:04:06Z\"}}}]}}",
        b"{\"metadata\":{\"name\":\"x\",\"uid\":\"u\",\"resourceVersion\":\"7\",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"o\"}]},\"data\":{\"expiresAt\":\"18446744073709551615\",\"more\":\"x\"}}",
        b"{\"metadata\":{\"name\":\"x\"},\"data\":{\"expiresAt\":\"soon\"}}\0{}",
    ],
    cases: 400,
    holds: locks,
}];

/// The bytes are the ConfigMap, and after a NUL the Pod that it belongs to, if there is one. A
/// ConfigMap that cannot be read is left unchanged. Nothing is ever deleted but this state of this
/// object.
fn locks(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |&byte| byte == 0).map(<[u8]>::to_vec);
    let (object, pod) = (parts.next().unwrap_or_default(), parts.next());
    let has_pod = pod.is_some();
    let deleted = Arc::new(AtomicU32::new(0));
    let (count, found) = (deleted.clone(), object.clone());
    let client = move || {
        cluster::client(move |request| match (request.method(), &pod) {
            (&Method::GET, Some(pod)) if request.uri().path().contains("/pods/") => {
                answer(200, pod)
            }
            (&Method::GET, None) if request.uri().path().contains("/pods/") => cluster::status(404),
            (&Method::GET, _) => answer(200, &object),
            (&Method::DELETE, _) => {
                let wanted: Value = serde_json::from_slice(request.body()).expect("JSON");
                let found: Value = serde_json::from_slice(&object).expect("JSON");
                for key in ["uid", "resourceVersion"] {
                    assert_eq!(wanted["preconditions"][key], found["metadata"][key]);
                }
                count.fetch_add(1, Ordering::Relaxed);
                answer(200, br#"{"kind":"Status","status":"Success"}"#)
            }
            (&Method::POST, _) if request.uri().path().contains("selfsubject") => {
                cluster::status(500)
            }
            (method, _) => panic!("{method} {}", request.uri()),
        })
    };
    let pod = PodName {
        namespace: "ns".to_owned(),
        name: "p".to_owned(),
    };
    run_in_no_time(async {
        let client = Client::new(client(), &pod).expect("a namespace");
        let state = status(&client, "x").await;
        assert_eq!(deleted.load(Ordering::Relaxed), 0);
        let broken = break_lock(&client, "x", "me").await;
        let released = release(&client, "x", Some("me")).await;
        let deletions = u32::from(broken.is_ok()) + u32::from(released.is_ok());
        match state {
            Ok(Some(state)) => {
                let held_by_me = state.record.holder_id() == "me";
                assert_eq!(broken.is_ok(), held_by_me);
                assert!(deleted.load(Ordering::Relaxed) <= deletions);
                if let Verdict::Free(why) = state.verdict {
                    assert!(!why.to_string().is_empty());
                }
            }
            // `break` need not know the state of the lock's Pod.
            _ if has_pod => {}
            _ => assert_eq!(
                deleted.load(Ordering::Relaxed),
                0,
                "{:?}",
                found.escape_ascii()
            ),
        }
    });
}
