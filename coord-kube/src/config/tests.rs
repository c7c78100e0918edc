//! Which configuration is chosen, and what is rejected.

use std::{fs, path::Path};

use super::*;
use coord_core::Errno;

const KUBECONFIG: &str = r#"{"current-context": "one",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "contexts": [{"name": "one", "context": {"cluster": "c", "namespace": "first"}},
                 {"name": "two", "context": {"cluster": "c"}}]}"#;

fn environment(kubeconfig: Option<&str>, in_pod: bool, home: Option<&Path>) -> Environment {
    Environment {
        kubeconfig: kubeconfig.map(Into::into),
        in_pod,
        home: home.map(Into::into),
    }
}

// Holds coord-kube-2.
#[test]
fn the_first_that_is_there_decides() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    fs::create_dir(home.join(".kube")).unwrap();
    fs::write(home.join(".kube/config"), KUBECONFIG).unwrap();
    let flag = ClientArgs {
        kubeconfig: Some("/flag".into()),
        ..ClientArgs::default()
    };
    let context = ClientArgs {
        context: Some("two".into()),
        ..ClientArgs::default()
    };
    let nothing = ClientArgs::default();
    let name = |args: &ClientArgs, environment| {
        args.origin(environment)
            .map(|origin| origin.map_or("pod".to_owned(), |it| it.name()))
    };
    let at_home = format!("{:?}", home.join(".kube/config"));
    let cases = [
        (
            &flag,
            environment(Some("/var"), true, Some(home)),
            "--kubeconfig \"/flag\"",
        ),
        (
            &nothing,
            environment(Some("/var"), true, Some(home)),
            "KUBECONFIG=\"/var\"",
        ),
        (&nothing, environment(None, true, Some(home)), "pod"),
        (&context, environment(None, true, Some(home)), &*at_home),
        (&nothing, environment(None, false, Some(home)), &*at_home),
    ];
    for (args, environment, expected) in cases {
        assert_eq!(name(args, environment).unwrap(), expected);
    }
    let error = name(
        &nothing,
        environment(None, false, Some(&home.join("other"))),
    )
    .unwrap_err();
    assert_eq!(error.errno(), Errno::ENOENT);
    assert!(error.to_string().contains("KUBECONFIG"), "{error}");
    // `--context` means a kubeconfig: the Pod's account does not replace it.
    assert_eq!(
        name(&context, environment(None, true, None))
            .unwrap_err()
            .errno(),
        Errno::ENOENT
    );
}

// Holds coord-kube-7.
#[test]
fn what_cannot_be_used_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), KUBECONFIG).unwrap();
    let path = file.path().to_owned();
    let given = |kubeconfig: PathBuf, context: Option<&str>, namespace: Option<&str>| ClientArgs {
        kubeconfig: Some(kubeconfig),
        context: context.map(Into::into),
        namespace: namespace.map(Into::into),
        ..ClientArgs::default()
    };
    let works = given(path.clone(), None, None).config().unwrap();
    assert_eq!(works.default_namespace, "first");
    let two = given(path.clone(), Some("two"), None).config().unwrap();
    assert_eq!(two.default_namespace, "default");
    let three = given(path.clone(), Some("two"), Some("third"))
        .config()
        .unwrap();
    assert_eq!(three.default_namespace, "third");

    let no_yaml = tempfile::NamedTempFile::new().unwrap();
    fs::write(no_yaml.path(), "clusters: {]").unwrap();
    let cases = [
        (
            given("/no/such/file".into(), None, None),
            Errno::ENOENT,
            "--kubeconfig \"/no/such/file\"",
        ),
        (
            given("/".into(), None, None),
            Errno::EISDIR,
            "--kubeconfig \"/\"",
        ),
        (
            given(no_yaml.path().into(), None, None),
            Errno::EINVAL,
            "--kubeconfig",
        ),
        (
            given(path.clone(), Some("none"), None),
            Errno::EINVAL,
            "--context \"none\"",
        ),
        (
            given(path.clone(), None, Some("a/b")),
            Errno::EINVAL,
            "the namespace \"a/b\"",
        ),
        (
            given(path, None, Some("")),
            Errno::EINVAL,
            "the namespace \"\"",
        ),
    ];
    for (args, errno, named) in cases {
        let error = args.config().unwrap_err();
        assert_eq!(error.errno(), errno, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
}
