//! Labels on the ConfigMaps, as a cluster's policies may require.

use coord_core::Errno;
use lockheed::KubeStore;
use serde_json::{Value, json};
use testkit::eventually;

use super::{Place, commands::run, lock};

/// An administrator's rules for every ConfigMap of the namespace.
struct Policy<'a>(&'a Place);

impl<'a> Policy<'a> {
    fn requiring(label: &str, place: &'a Place) -> Self {
        let name = place.namespace.name();
        let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]});
        let here = json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
        let demand = format!("has(object.metadata.labels) && '{label}' in object.metadata.labels");
        let policy = |kind: &str, spec: Value| {
            let version = "admissionregistration.k8s.io/v1";
            place.namespace.apply(
                &json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}),
            );
        };
        policy(
            "ValidatingAdmissionPolicy",
            json!({"failurePolicy": "Fail", "validations": [{"expression": demand, "message": format!("no label {label}")}],
                "matchConstraints": {"namespaceSelector": here, "resourceRules": [rule]}}),
        );
        policy(
            "ValidatingAdmissionPolicyBinding",
            json!({"policyName": name, "validationActions": ["Deny"]}),
        );
        Self(place)
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        let kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings";
        let namespace = &self.0.namespace;
        namespace.kubectl(&["delete", kinds, namespace.name()], None);
    }
}

#[test]
#[ignore = "no cluster"]
fn a_policy_that_requires_a_label_is_met() {
    let place = Place::new();
    let policy = Policy::requiring("example.com/team", &place);
    let mut said = String::new();
    eventually("the policy is in force", || {
        let (status, _, error) = run(&place.user, &["run", "probe", "--", "true"]);
        said = error;
        status == Some(125)
    });
    assert!(said.contains("no label example.com/team"), "{said}");
    let labels = ["--label", "example.com/team=db", "--label", "app=x"];
    let wanted = [&["run", "x"][..], &labels, &["--", "true"]].concat();
    assert_eq!(
        run(&place.user, &wanted),
        (Some(0), String::new(), String::new())
    );
    let kept = json!({"lockheed/lock": "", "example.com/team": "db", "app": "x"});
    assert_eq!(place.object("x")["metadata"]["labels"], kept);
    // Labels that exist stay, even if a later caller does not give them.
    assert_eq!(run(&place.user, &["acquire", "x", "--id", "a"]).0, Some(0));
    assert_eq!(run(&place.user, &["release", "x", "--id", "a"]).0, Some(0));
    assert_eq!(place.object("x")["metadata"]["labels"], kept);
    drop(policy);
}

#[test]
#[ignore = "no cluster"]
fn labels_are_added_to_an_object_that_is_there() {
    let place = Place::new();
    assert_eq!(run(&place.user, &["acquire", "x", "--id", "a"]).0, Some(0));
    let label = [
        "label",
        "configmap",
        "lockheed-x",
        "theirs=kept",
        "team=web",
    ];
    place.namespace.kubectl(&label, None);
    let again = ["acquire", "x", "--id", "a", "--label", "team=db"];
    assert_eq!(run(&place.user, &again).0, Some(0));
    let expected = json!({"lockheed/lock": "", "theirs": "kept", "team": "db"});
    assert_eq!(place.object("x")["metadata"]["labels"], expected);
}

#[tokio::test]
#[ignore = "no cluster"]
async fn what_cannot_be_a_label_is_refused_before_any_request() {
    let place = Place::new();
    let cases = [
        ("team", "write KEY=VALUE, such as team=db"),
        ("a b=c", "its name \"a b\" must have 1 to 63 characters"),
        ("a=b c", "its value \"b c\" must be empty, or have"),
        ("Up/a=b", "its prefix \"Up\" must be a DNS name"),
        (
            "lockheed/lock=",
            "the label \"lockheed/lock\" is set by lockheed itself",
        ),
    ];
    for (label, said) in cases {
        for command in [&["acquire", "x"][..], &["run", "x"]] {
            let tail: &[&str] = if command[0] == "run" {
                &["--", "true"]
            } else {
                &[]
            };
            let arguments = [command, &["--label", label], tail].concat();
            let (status, _, error) = run(&place.user, &arguments);
            assert_eq!(status, Some(64), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }
    let store = place.store().await;
    for (key, value) in [("lockheed/lock", ""), ("a b", "c"), ("a", "b c")] {
        let error = store
            .clone()
            .with_labels([(key, value)])
            .map(drop)
            .unwrap_err();
        assert_eq!(error.errno(), Errno::EINVAL, "{error}");
        assert!(error.to_string().contains(key), "{error}");
    }
    let ours = [
        "lockheed-tests/0",
        concat!("lockheed/", env!("CARGO_PKG_VERSION")),
    ];
    let requests = place.namespace.requests();
    assert!(
        requests
            .iter()
            .all(|request| !ours.contains(&&*request.user_agent))
    );
    let store: KubeStore = store.with_labels([("team", "db")]).unwrap();
    lock(store, "y", "us").acquire().await.unwrap().detach();
    assert_eq!(place.object("y")["metadata"]["labels"]["team"], "db");
}
