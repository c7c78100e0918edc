//! Kubeconfigs: the content of one file, and several files together.

use super::*;

/// The content of one file.
pub(super) fn files(bench: &Bench) -> Vec<Row> {
    let usual = bench.user(&bench.certificate);
    let server = bench.server.as_str();
    let bare = server.trim_start_matches("https://").to_owned();
    let data = base64(&bench.authority);
    let wrapped = format!("{}\n{}", &data[..64], &data[64..]);
    let without_file = |key: &str, value: &str| {
        let mut config = bench.config(&bench.certificate);
        let cluster = config.pointer_mut("/clusters/0/cluster").unwrap();
        *cluster = json!({"server": server, key: value});
        config.to_string()
    };
    let insecure = |more: &Value| {
        let mut cluster = json!({"server": server, "insecure-skip-tls-verify": true});
        cluster
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        bench.with("/clusters/0/cluster", &cluster)
    };
    vec![
        row("usual", &usual),
        row("empty kind", bench.with("/kind", &json!(""))),
        row("no kind", bench.without("/kind")),
        row("another kind", bench.with("/kind", &json!("Pod"))),
        row("another version", bench.with("/apiVersion", &json!("v9"))),
        row("empty version", bench.with("/apiVersion", &json!(""))),
        row("unknown fields", bench.with("/more", &json!({"a": [1]}))),
        row("null lists", bench.with("/extensions", &json!(null))),
        row("null users", bench.with("/users", &json!(null))),
        row(
            "lists that are none",
            bench.with("/contexts", &json!({"a": 1})),
        ),
        row("empty", ""),
        row("text", SECRET),
        row(
            "no YAML",
            format!(
                "users:
- name: u
  user:
    token: {SECRET}
   bad: [
"
            ),
        ),
        row(
            "no YAML after JSON",
            format!(
                "{usual}
  token: {SECRET}
 bad: ["
            ),
        )
        .differs("kubectl does not read what follows the first value"),
        row(
            "a key twice in YAML",
            "kind: Config
kind: Config
",
        ),
        row("tabs", format!("users:\n\t- name: {SECRET}\n")),
        row("byte order mark", format!("\u{feff}{usual}")),
        row("two documents", format!("{usual}\n---\n{{kind: Pod}}\n")),
        row(
            "a key twice in JSON",
            usual.replacen('{', r#"{"kind": "Config","#, 1),
        ),
        row(
            "an anchor",
            format!(
                r#"{{"a": &a here, "current-context": *a, {}"#,
                &bench.without("/current-context")[1..]
            ),
        ),
        row(
            "empty current-context",
            bench.with("/current-context", &json!("")),
        ),
        row("no current-context", bench.without("/current-context")),
        row(
            "unknown current-context",
            bench.with("/current-context", &json!("x")),
        ),
        row(
            "empty namespace",
            bench.with("/contexts/0/context/namespace", &json!("")),
        )
        .with(["-n", bench.place.namespace.name()]),
        row(
            "context without a user",
            bench.with("/contexts/0/context/user", &json!("")),
        ),
        row(
            "context with an unknown user",
            bench.with("/contexts/0/context/user", &json!("x")),
        ),
        row(
            "context without a cluster",
            bench.with("/contexts/0/context/cluster", &json!("")),
        ),
        row(
            "context with an unknown cluster",
            bench.with("/contexts/0/context/cluster", &json!("x")),
        ),
        row(
            "context that is null",
            bench.with("/contexts/0/context", &json!(null)),
        ),
        row("no server", bench.cluster("server", &json!(""))),
        row(
            "server without a scheme",
            bench.cluster("server", &json!(bare)),
        ),
        row(
            "server with another scheme",
            bench.cluster("server", &json!(format!("ftp://{bare}"))),
        ),
        row(
            "server with a slash",
            bench.cluster("server", &json!(format!("{server}/"))),
        ),
        row(
            "server with a space",
            bench.cluster("server", &json!(format!("{server} "))),
        ),
        row(
            "server without a host",
            bench.cluster("server", &json!("https://")),
        ),
        row(
            "server with a port too large",
            bench.cluster("server", &json!("https://127.0.0.1:99999")),
        ),
        row(
            "server with a password",
            bench.cluster("server", &json!(format!("https://a:{SECRET}@ b"))),
        ),
        row("number as server", bench.cluster("server", &json!(12))),
        row("CA data", without_file("certificate-authority-data", &data)),
        row(
            "CA data in lines",
            without_file("certificate-authority-data", &wrapped),
        ),
        row(
            "CA data that is no base64",
            without_file("certificate-authority-data", "%%"),
        ),
        row(
            "CA data that is no PEM",
            without_file("certificate-authority-data", "aGVsbG8="),
        ),
        row(
            "empty CA data beside the file",
            bench.cluster("certificate-authority-data", &json!("")),
        ),
        row(
            "CA file that is not there",
            bench.cluster("certificate-authority", &json!("x.crt")),
        ),
        row(
            "CA file that is no PEM",
            bench.cluster("certificate-authority", &json!("config")),
        ),
        row(
            "CA file beside the kubeconfig",
            bench.cluster("certificate-authority", &json!("ca.crt")),
        )
        .file("ca.crt", fs::read_to_string(&bench.authority).unwrap()),
        row("insecure", insecure(&json!({}))),
        row(
            "insecure with a CA",
            insecure(&json!({"certificate-authority": bench.authority})),
        ),
        row(
            "insecure as text",
            bench.cluster("insecure-skip-tls-verify", &json!("yes")),
        ),
        row(
            "server name",
            bench.cluster("tls-server-name", &json!("localhost")),
        ),
        row(
            "wrong server name",
            bench.cluster("tls-server-name", &json!("elsewhere")),
        ),
        row(
            "empty server name",
            bench.cluster("tls-server-name", &json!("")),
        ),
        row("empty proxy", bench.cluster("proxy-url", &json!(""))),
        row(
            "proxy that is no URL",
            bench.cluster("proxy-url", &json!(format!("http://a:{SECRET}@ b"))),
        ),
    ]
}

/// Several files.
pub(super) fn lists(bench: &Bench) -> Vec<Row> {
    let usual = bench.user(&bench.certificate);
    let users = json!({"users": bench.config(&bench.certificate)["users"]}).to_string();
    let clusters = bench.with("/users", &json!([]));
    let elsewhere = bench.with("/current-context", &json!("x"));
    let unset = bench.with("/current-context", &json!(""));
    vec![
        row("a list of one", &usual).list("config"),
        row("a list with a missing file", &usual).list("nowhere:config"),
        row("a list with empty entries", &usual).list(":config::"),
        row("a list of missing files", &usual).list("nowhere:nowhere-else"),
        row("a list with a broken file", &usual)
            .file("broken", format!("token: {SECRET}\n bad: ["))
            .list("config:broken"),
        row("a list with a directory", &usual).list("config:."),
        row("a list with an empty file", &usual)
            .file("empty", "")
            .list("empty:config"),
        row("users in another file", &clusters)
            .file("users", &users)
            .list("config:users"),
        row("a first file without a context", &unset)
            .file("next", &usual)
            .list("config:next"),
        row("a first file with another context", &elsewhere)
            .file("next", &usual)
            .list("config:next"),
        row("the same names twice", &usual)
            .file(
                "next",
                bench.cluster("server", &json!("https://127.0.0.1:1")),
            )
            .list("config:next"),
        row("a missing file that is asked for", &usual)
            .with(["--kubeconfig", "/nowhere"])
            .list("config"),
    ]
}
