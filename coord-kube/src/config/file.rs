//! Reads one kubeconfig as kubectl does.

use std::{
    error::Error as StdError,
    fmt, fs, io,
    path::{MAIN_SEPARATOR, Path},
};

use kube::config::Kubeconfig;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::DuplicateKeyPolicy;

/// Why a kubeconfig is invalid. It contains none of the file's text, which has tokens and keys.
#[derive(Debug)]
pub(super) enum Unusable {
    Unread(io::Error),
    /// It is not text, or not YAML, at this line.
    NoYaml(Option<u64>),
    /// A value is invalid.
    Wrong(String),
}

impl Unusable {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Unread(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(_) => f.write_str("it cannot be read"),
            Self::NoYaml(None) => f.write_str("it is not YAML"),
            Self::NoYaml(Some(line)) => write!(f, "it is not YAML: see its line {line}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

impl StdError for Unusable {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unread(error) => Some(error),
            _ => None,
        }
    }
}

/// Reads a kubeconfig. Empty values count as absent, and relative paths start at its directory.
pub(super) fn read(path: &Path) -> Result<Kubeconfig, Unusable> {
    let bytes = fs::read(path).map_err(Unusable::Unread)?;
    let text = decoded(&bytes).ok_or(Unusable::NoYaml(None))?;
    let mut config = parsed(&text)?;
    if let Some(directory) = path.parent() {
        start_paths_at(directory, &mut config);
    }
    Ok(config)
}

/// Decodes text in the YAML encodings that we support (section 5.2 of the specification): UTF-8,
/// and UTF-16 with a byte order mark.
fn decoded(bytes: &[u8]) -> Option<String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        String::from_utf16(&units.collect::<Vec<u16>>()).ok()
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    }
}

fn parsed(text: &str) -> Result<Kubeconfig, Unusable> {
    // Like kubectl, accepts a key that appears twice.
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| Unusable::NoYaml(error.location().map(|place| place.line())))?;
    // Like kubectl, uses only the first document.
    let mut config = documents.into_iter().next().unwrap_or(Value::Null);
    drop_empty(&mut config);
    if config.is_null() {
        return Ok(Kubeconfig::default());
    }
    if !config.is_object() {
        return Err(Unusable::Wrong("it is not a kubeconfig".to_owned()));
    }
    for (key, expected) in [("kind", "Config"), ("apiVersion", "v1")] {
        if let Some(found) = config.get(key).filter(|found| *found != expected) {
            let what = format!("its {key} is {found}, and a kubeconfig's is {expected:?}");
            return Err(Unusable::Wrong(what));
        }
    }
    let current = match config.get("current-context") {
        Some(Value::String(name)) => Some(name.clone()),
        Some(_) => return Err(Unusable::Wrong("its current-context is no text".to_owned())),
        None => None,
    };
    Ok(Kubeconfig {
        current_context: current,
        clusters: entries(&mut config, "clusters")?,
        auth_infos: entries(&mut config, "users")?,
        contexts: entries(&mut config, "contexts")?,
        ..Kubeconfig::default()
    })
}

/// Drops null values and empty texts. They are kept in a plugin's arguments and environment, where
/// they mean something.
fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null() && value != "");
            let rest = map.iter_mut().filter(|(key, _)| *key != "exec");
            rest.for_each(|(_, value)| drop_empty(value));
        }
        Value::Array(list) => list.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

/// The entries of one of the lists, each with a name. The parser's error for an invalid entry is
/// not shown, since it would quote the entry.
fn entries<T: DeserializeOwned>(config: &mut Value, list: &str) -> Result<Vec<T>, Unusable> {
    let wrong = |what: String| Unusable::Wrong(format!("its {list} {what}"));
    let entries = match config.get_mut(list).map(Value::take) {
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(wrong("are not a list".to_owned())),
        None => return Ok(Vec::new()),
    };
    let typed = |mut entry: Value| {
        // Like kubectl, accepts an entry without one of these.
        if let Some(Value::Object(context)) = entry.get_mut("context") {
            context.entry("cluster").or_insert_with(|| "".into());
        }
        if let Value::Object(entry) = &mut entry {
            entry.entry("name").or_insert_with(|| "".into());
        }
        let name = entry["name"].clone();
        let typed = serde_json::from_value(entry);
        typed.map_err(|_| {
            wrong(format!(
                "have a field of a wrong type in the one named {name}"
            ))
        })
    };
    entries.into_iter().map(typed).collect()
}

fn start_paths_at(directory: &Path, config: &mut Kubeconfig) {
    let start = |path: &mut Option<String>| {
        if let Some(path) = path.as_mut().filter(|path| Path::new(path).is_relative())
            && let Some(whole) = directory.join(&*path).to_str()
        {
            whole.clone_into(path);
        }
    };
    let clusters = config.clusters.iter_mut();
    for cluster in clusters.filter_map(|named| named.cluster.as_mut()) {
        start(&mut cluster.certificate_authority);
    }
    let users = config.auth_infos.iter_mut();
    for user in users.filter_map(|named| named.auth_info.as_mut()) {
        start(&mut user.client_certificate);
        start(&mut user.client_key);
        start(&mut user.token_file);
        // A command without a slash is searched for in PATH.
        let command = user.exec.as_mut().map(|exec| &mut exec.command);
        if let Some(command) =
            command.filter(|it| it.as_ref().is_some_and(|it| it.contains(MAIN_SEPARATOR)))
        {
            start(command);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Holds coord-kube-2.
    #[test]
    fn what_is_empty_is_as_good_as_absent() {
        let text = r#"{kind: "", current-context: "", contexts: [{name: c, context: {user: "", namespace: ""}}],
            users: [{name: u, user: {token: "", client-certificate: "", exec: {command: x, args: [""], env: [{name: a, value: ""}]}}}]}"#;
        let config = parsed(text).unwrap();
        assert_eq!(config.current_context, None);
        let context = config.contexts[0].context.as_ref().unwrap();
        assert_eq!((&*context.cluster, &context.namespace), ("", &None));
        let user = config.auth_infos[0].auth_info.as_ref().unwrap();
        assert!(user.token.is_none() && user.client_certificate.is_none());
        let exec = user.exec.as_ref().unwrap();
        assert_eq!(exec.args, Some(vec![String::new()]));
        assert_eq!(exec.env.as_ref().unwrap()[0]["value"], "");
        assert!(parsed("").unwrap().contexts.is_empty());
        assert!(parsed("# nothing\n").unwrap().contexts.is_empty());
    }

    // Holds coord-kube-2.
    #[test]
    fn nothing_of_it_is_quoted() {
        let broken = [
            "users:\n- name: u\n  user:\n    token: s3cret\n   bad: [\n",
            "users: [{name: u, user: {token: [s3cret]}}]",
            "users: [{name: u, user: {token: 12345}}]",
            "users: {s3cret: 12345}",
            "current-context: [s3cret]",
            "users:\n\ttoken: s3cret",
            "s3cret",
        ];
        for text in broken {
            let Err(why) = parsed(text) else { continue };
            let text = format!("{why} {why:?}");
            assert!(
                !text.contains("s3cret") && !text.contains("12345"),
                "{text}"
            );
        }
    }

    #[test]
    fn the_encodings_of_yaml_are_read() {
        let text = "a: \u{e9}";
        let mut utf16 = vec![0xff, 0xfe];
        utf16.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(decoded(&utf16).as_deref(), Some(text));
        let mut marked = vec![0xef, 0xbb, 0xbf];
        marked.extend(text.bytes());
        assert_eq!(decoded(&marked).as_deref(), Some(text));
        assert_eq!(decoded(&[0xc3]), None);
    }
}
