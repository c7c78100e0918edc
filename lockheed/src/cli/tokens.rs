//! The fencing tokens in a command's environment.

use std::{env, ffi::OsString};

use lockheed::HeldSet;
use serde_json::{Map, Value};

const TOKEN: &str = "LOCKHEED_TOKEN";

/// A variable for each lock, in the order in which they were given, and one for all by name. With
/// one lock, there is also the one without a number.
pub(crate) fn variables(held: &HeldSet) -> Vec<(String, String)> {
    let tokens = held.iter().map(|lock| lock.token().get());
    let numbered = tokens.clone().zip(1..);
    let mut all: Vec<_> = numbered
        .map(|(token, number)| (format!("{TOKEN}_{number}"), token.to_string()))
        .collect();
    if let [(_, only)] = &*all {
        let only = only.clone();
        all.push((TOKEN.to_owned(), only));
    }
    let names = held.iter().map(|lock| lock.name().to_string());
    let by_name: Map<_, Value> = names.zip(tokens.map(Value::from)).collect();
    all.push((format!("{TOKEN}S"), Value::from(by_name).to_string()));
    all
}

/// Those of a run around this one, which are of other locks.
pub(crate) fn inherited() -> impl Iterator<Item = OsString> {
    let names = env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.as_encoded_bytes().starts_with(TOKEN.as_bytes()))
}
