//! Beside kubectl, on the same kubeconfigs: who gets through.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use apiserver::cluster::Binaries;
use serde_json::{Value, json};
use testkit::process::outcome;

use super::Place;

/// One kubeconfig, or several, and arguments.
struct Row {
    name: &'static str,
    files: Vec<(&'static str, String)>,
    arguments: Vec<String>,
    /// `KUBECONFIG`, of names in the directory; none for `--kubeconfig` and the file `config`.
    list: Option<&'static str>,
    /// Why not both get through, or neither.
    differs: Option<&'static str>,
}

/// What a row is made of.
struct Bench {
    place: Place,
    directory: tempfile::TempDir,
    server: String,
    authority: PathBuf,
    token: String,
    certificate: Value,
    data: Value,
}

const SECRET: &str = "s3cret";

fn base64(path: &Path) -> String {
    let mut base64 = Command::new("base64");
    base64.arg("-w0").arg(path);
    outcome(&mut base64).1
}

/// The same with this at a place in it.
fn changed(mut config: Value, pointer: &str, value: &Value) -> String {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap()[key] = value.clone();
    config.to_string()
}

impl Bench {
    /// A namespace with a holder, who has a certificate, and a token as a service account.
    fn new() -> Self {
        let place = Place::new();
        let namespace = &place.namespace;
        namespace.kubectl(&["create", "serviceaccount", "holder"], None);
        let account = format!("--serviceaccount={}:holder", namespace.name());
        let bind = [
            "create",
            "rolebinding",
            "account",
            "--role=lockheed",
            &account,
        ];
        namespace.kubectl(&bind, None);
        let token = namespace.kubectl(&["create", "token", "holder"], None);
        let config = fs::read_to_string(&place.user).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        let certificate = config["users"][0]["user"].clone();
        let file = |key: &str| base64(Path::new(certificate[key].as_str().unwrap()));
        let data = json!({"client-certificate-data": file("client-certificate"), "client-key-data": file("client-key")});
        let cluster = &config["clusters"][0]["cluster"];
        Self {
            server: cluster["server"].as_str().unwrap().to_owned(),
            authority: cluster["certificate-authority"].as_str().unwrap().into(),
            token: token.trim().to_owned(),
            certificate,
            data,
            directory: tempfile::tempdir().unwrap(),
            place,
        }
    }

    fn config(&self, user: &Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": self.server, "certificate-authority": self.authority}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": self.place.namespace.name()}}],
        })
    }

    /// The usual one, with this at a place in it.
    fn with(&self, pointer: &str, value: &Value) -> String {
        changed(self.config(&self.certificate), pointer, value)
    }

    fn without(&self, pointer: &str) -> String {
        let mut config = self.config(&self.certificate);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = config.pointer_mut(parent).unwrap();
        parent.as_object_mut().unwrap().remove(key);
        config.to_string()
    }

    fn cluster(&self, key: &str, value: &Value) -> String {
        self.with(&format!("/clusters/0/cluster/{key}"), value)
    }

    fn user(&self, user: &Value) -> String {
        self.config(user).to_string()
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }
}

fn row(name: &'static str, config: impl Into<String>) -> Row {
    Row {
        name,
        files: vec![("config", config.into())],
        arguments: Vec::new(),
        list: None,
        differs: None,
    }
}

impl Row {
    fn file(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.files.push((name, text.into()));
        self
    }

    fn with<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    fn list(mut self, list: &'static str) -> Self {
        self.list = Some(list);
        self
    }

    fn differs(mut self, why: &'static str) -> Self {
        self.differs = Some(why);
        self
    }

    /// Status, standard output and standard error of a program.
    fn run(&self, bench: &Bench, program: &mut Command, command: &[&str]) -> (i32, String, String) {
        for variable in ["KUBECONFIG", "LOCKHEED_STORE", "LOCKHEED_LOG_FILTER"] {
            program.env_remove(variable);
        }
        program.env("HOME", bench.path("home")).stdin(Stdio::null());
        program.args(command).args(&self.arguments);
        match self.list {
            Some(list) => {
                let paths = list.split(':').filter(|name| !name.is_empty());
                let paths = std::env::join_paths(paths.map(|name| bench.path(name))).unwrap();
                program.env("KUBECONFIG", paths);
            }
            None => {
                program.arg("--kubeconfig").arg(bench.path("config"));
            }
        }
        outcome(program)
    }

    /// What is wrong with this row; nothing if all is well.
    fn check(&self, bench: &Bench) -> Option<String> {
        for (name, text) in &self.files {
            fs::write(bench.path(name), text).unwrap();
        }
        let binaries = Binaries::installed().unwrap();
        let get = ["get", "configmaps", "--request-timeout=10s"];
        let theirs = self.run(bench, &mut Command::new(binaries.kubectl()), &get);
        let mut lockheed = Command::new(env!("CARGO_BIN_EXE_lockheed"));
        let ours = self.run(bench, &mut lockheed, &["list"]);
        for (name, _) in &self.files {
            fs::remove_file(bench.path(name)).unwrap();
        }
        let same = (theirs.0 == 0) == (ours.0 == 0);
        let said = &ours.2;
        let well = same == self.differs.is_none() && (ours.0 == 0 || is_one_sentence(said));
        let told = format!("kubectl {}: {}ours {}: {said}", theirs.0, theirs.2, ours.0);
        if std::env::var_os("SHOW_TABLE").is_some() {
            eprintln!(
                "{} | {} | {} | {}",
                self.name,
                theirs.0 == 0,
                ours.0 == 0,
                self.differs.unwrap_or_default()
            );
            eprintln!("      {told}");
        }
        (!well || ours.0 == 70 || said.contains(SECRET)).then(|| format!("{}: {told}", self.name))
    }
}

/// On one line, and no cause twice.
fn is_one_sentence(text: &str) -> bool {
    let causes: Vec<&str> = text.trim_end().split(": ").collect();
    let again = |(at, cause): (usize, &&str)| causes[at + 1..].contains(cause);
    text.lines().count() == 1 && !causes.iter().enumerate().any(again)
}

#[test]
#[ignore = "no cluster"]
fn a_kubeconfig_that_kubectl_can_use_is_used() {
    let bench = Bench::new();
    let rows = files(&bench).into_iter().chain(lists(&bench));
    let rows = rows.chain(credentials(&bench)).chain(options(&bench));
    let wrong: Vec<String> = rows.filter_map(|row| row.check(&bench)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A Pod without a mounted account: each cause once.
#[test]
fn a_missing_service_account_is_said_in_one_sentence() {
    for (port, expected) in [("443", 2), ("none", 22)] {
        let mut lockheed = Command::new(env!("CARGO_BIN_EXE_lockheed"));
        for variable in ["KUBECONFIG", "LOCKHEED_STORE", "LOCKHEED_LOG_FILTER"] {
            lockheed.env_remove(variable);
        }
        lockheed.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
        lockheed.env("KUBERNETES_SERVICE_PORT", port).arg("list");
        let (status, _, error) = outcome(&mut lockheed);
        assert_eq!(status, expected, "{error}");
        assert!(error.contains("the Pod's service account"), "{error}");
        assert!(is_one_sentence(&error), "{error}");
    }
}

/// What is in one file.
fn files(bench: &Bench) -> Vec<Row> {
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
fn lists(bench: &Bench) -> Vec<Row> {
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

/// Who we are.
fn credentials(bench: &Bench) -> Vec<Row> {
    let token = bench.token.as_str();
    let (first, second) = token.split_at(10);
    let with = |key: &str, value: &str| {
        let mut user = bench.certificate.clone();
        user[key] = json!(value);
        bench.user(&user)
    };
    vec![
        row("certificate as data", bench.user(&bench.data)),
        row("empty certificate file beside data", {
            let mut user = bench.data.clone();
            user["client-certificate"] = json!("");
            bench.user(&user)
        }),
        row("certificate without a key", {
            let certificate = &bench.certificate["client-certificate"];
            bench.user(&json!({"client-certificate": certificate}))
        }),
        row("key without a certificate", {
            let key = &bench.certificate["client-key"];
            bench.user(&json!({"client-key": key}))
        }),
        row(
            "certificate that is not there",
            with("client-certificate", "nowhere.crt"),
        ),
        row(
            "certificate data that is no base64",
            bench.user(&json!({"client-certificate-data": "%", "client-key-data": "%"})),
        ),
        row(
            "certificate data that is no PEM",
            bench.user(
                &json!({"client-certificate-data": "aGVsbG8=", "client-key-data": "aGVsbG8="}),
            ),
        ),
        row("empty token beside a certificate", with("token", "")),
        row("token", bench.user(&json!({"token": token}))),
        row("wrong token", bench.user(&json!({"token": SECRET}))),
        row(
            "token with a line break",
            bench.user(&json!({"token": format!("{first}\n{second}{SECRET}")})),
        ),
        row("number as token", bench.user(&json!({"token": 12345}))),
        row("token file", bench.user(&json!({"tokenFile": "token"}))).file("token", token),
        row(
            "token file with a line break at its end",
            bench.user(&json!({"tokenFile": "token"})),
        )
        .file("token", format!("{token}\n")),
        row(
            "token file with a line break in it",
            bench.user(&json!({"tokenFile": "token"})),
        )
        .file("token", format!("{first}\n{second}{SECRET}\n")),
        row(
            "token file that is empty",
            bench.user(&json!({"tokenFile": "token"})),
        )
        .file("token", "\n"),
        row(
            "token file that is not there",
            bench.user(&json!({"tokenFile": "nowhere"})),
        ),
        row(
            "token file beside a wrong token",
            bench.user(&json!({"token": SECRET, "tokenFile": "token"})),
        )
        .file("token", token),
        row(
            "wrong token file beside a token",
            bench.user(&json!({"token": token, "tokenFile": "token"})),
        )
        .file("token", SECRET),
        row(
            "missing token file beside a token",
            bench.user(&json!({"token": token, "tokenFile": "nowhere"})),
        ),
        row(
            "password",
            bench.user(&json!({"username": "a", "password": SECRET})),
        ),
        row("empty user", bench.user(&json!({}))),
        row("null user", bench.user(&json!(null))),
        row("groups to act as without a user", {
            let mut user = bench.certificate.clone();
            user["as-groups"] = json!(["system:masters"]);
            bench.user(&user)
        }),
    ]
}

/// kubectl's options.
fn options(bench: &Bench) -> Vec<Row> {
    let usual = bench.user(&bench.certificate);
    let namespace = bench.place.namespace.name();
    let token = bench.token.as_str();
    let holder = format!("{namespace}-holder");
    let admin = fs::read_to_string(bench.place.namespace.admin()).unwrap();
    let many = {
        let mut config = bench.config(&json!({"token": SECRET}));
        let right = json!({"name": "right", "user": bench.certificate});
        config["users"].as_array_mut().unwrap().push(right);
        let mut wrong = config["clusters"][0].clone();
        wrong["name"] = json!("wrong");
        wrong["cluster"]["server"] = json!("https://127.0.0.1:1");
        config["clusters"].as_array_mut().unwrap().push(wrong);
        let other = json!({"name": "right", "context": {"cluster": "c", "user": "right", "namespace": namespace}});
        config["contexts"].as_array_mut().unwrap().push(other);
        config
    };
    let elsewhere = changed(many.clone(), "/contexts/1/context/cluster", &json!("wrong"));
    let many = many.to_string();
    vec![
        row("another user", &many).with(["--user", "right"]),
        row("another user that is not there", &many).with(["--user", "x"]),
        row("another context", &many).with(["--context", "right"]),
        row("another context that is not there", &many).with(["--context", "x"]),
        row("another cluster", elsewhere.as_str()).with(["--context=right", "--cluster=c"]),
        row("another cluster that is not there", &many).with(["--context=right", "--cluster=x"]),
        row("another server", elsewhere.as_str()).with(["--context=right", "-s", &bench.server]),
        row("another token", &usual).with(["--token", SECRET]),
        row("a token instead of a wrong one", &many).with(["--token", token]),
        row(
            "a token instead of a file",
            bench.user(&json!({"tokenFile": "token"})),
        )
        .file("token", SECRET)
        .with(["--token", token])
        .differs("what is asked for on the command line counts"),
        row("a token with a line break", &many).with(["--token", "a\nb"]),
        row(
            "no context but a cluster and a user",
            bench.with("/current-context", &json!("")),
        )
        .with(["--cluster=c", "--user=u", "-n", namespace]),
        row(
            "no context but a server",
            bench.with("/current-context", &json!("")),
        )
        .with(["--server", &bench.server, "--user=u", "-n", namespace]),
        row("a namespace", &admin).with(["-n", namespace]),
        row("a namespace in long", &admin).with([format!("--namespace={namespace}")]),
        row("a namespace that is not allowed", &usual).with(["-n", "default"]),
        row("a namespace that cannot be one", &usual).with(["-n", "a/b"]),
        row("all namespaces", &admin).with(["-A"]),
        row("all namespaces in long", &admin).with(["--all-namespaces"]),
        row("all namespaces that are not allowed", &usual).with(["-A"]),
        row("as somebody else", &admin).with(["--as", &holder, "-n", namespace]),
        row("as nobody", &admin).with(["--as", "nobody", "-n", namespace]),
        row("as a member", &admin).with([
            "--as=nobody",
            "--as-group=x",
            "--as-group=system:masters",
            "-n",
            namespace,
        ]),
        row("as a group alone", &admin).with(["--as-group=system:masters", "-n", namespace]),
        row("as somebody without the right", &usual).with(["--as", &holder]),
        row("as somebody with a line break", &admin).with(["--as", "a\nb", "-n", namespace]),
        row("as JSON", &usual).with(["-o", "json"]),
        row("as JSON in long", &usual).with(["--output=json"]),
        row("as YAML", &usual).with(["-oyaml"]),
        row("wide", &usual).with(["-o", "wide"]),
        row("names", &usual).with(["-o", "name"]),
    ]
}
