//! lockheed and kubectl with the same kubeconfigs: both get through, or neither.

mod files;
mod users;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use apiserver::cluster::Binaries;
use serde_json::{Value, json};
use testkit::process::outcome;

use super::Place;

/// One or several kubeconfigs, and arguments.
struct Row {
    name: &'static str,
    files: Vec<(&'static str, String)>,
    arguments: Vec<String>,
    /// `KUBECONFIG`, with names in the directory; none for `--kubeconfig` and the file `config`.
    list: Option<&'static str>,
    /// Why only one of them gets through, if so.
    differs: Option<&'static str>,
}

/// The parts that rows are made of.
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

/// The same config with this value at a place in it.
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

    /// The usual config with this value at a place in it.
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

    /// The status, standard output and standard error of a program.
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

    /// What is wrong with this row; none if nothing is.
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

/// The text is one line, and names no cause twice.
fn is_one_sentence(text: &str) -> bool {
    let causes: Vec<&str> = text.trim_end().split(": ").collect();
    let again = |(at, cause): (usize, &&str)| causes[at + 1..].contains(cause);
    text.lines().count() == 1 && !causes.iter().enumerate().any(again)
}

// Holds coord-kube-2.
#[test]
#[ignore = "no cluster"]
fn a_kubeconfig_that_kubectl_can_use_is_used() {
    let bench = Bench::new();
    let rows = files::files(&bench).into_iter().chain(files::lists(&bench));
    let rows = rows
        .chain(users::credentials(&bench))
        .chain(users::options(&bench));
    let wrong: Vec<String> = rows.filter_map(|row| row.check(&bench)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// In a Pod without a mounted account, each cause is named once.
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
