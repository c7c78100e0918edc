//! Keys: any text that stands for a lock, and is stored with it.

use std::fmt;

use coord_core::{Errno, HasErrno};
use ring::digest::{SHA256, digest};

use crate::{LockName, store::Object};

/// The annotation with the key. It is an annotation because Go programs keep those.
const KEY: &str = "lockheed/key";

/// The longest key, in bytes.
const LONGEST: usize = 4096;

/// How many bytes of the name show the readable part of the key.
const SLUG: usize = 30;

/// How many hexadecimal digits of the key's SHA-256 the name has: 128 bits.
const DIGITS: usize = 32;

/// The longest name that is made from a key: 63 bytes, as for a DNS label.
#[cfg(feature = "kube")]
pub(crate) const LONGEST_NAME: usize = SLUG + 1 + DIGITS;

/// A text that cannot be a key. Its errno is `EINVAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidKey {
    length: usize,
}

/// The object belongs to another key: two keys have the same name, or somebody changed the key by
/// hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherKey {
    wanted: String,
    kept: String,
}

pub(crate) fn name_of(key: &str) -> Result<String, InvalidKey> {
    if key.is_empty() || key.len() > LONGEST {
        return Err(InvalidKey { length: key.len() });
    }
    let hash = digest(&SHA256, key.as_bytes());
    let digits: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let digits = &digits[..DIGITS];
    Ok(match slug(key) {
        slug if slug.is_empty() => digits.to_owned(),
        slug => format!("{slug}-{digits}"),
    })
}

/// The readable part of the name: letters and digits, with one dash for everything between them.
fn slug(key: &str) -> String {
    let mut slug = String::new();
    for byte in key.bytes().map(|byte| byte.to_ascii_lowercase()) {
        if byte.is_ascii_alphanumeric() {
            slug.push(byte.into());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(SLUG);
    slug.trim_end_matches('-').to_owned()
}

/// The key that an object is stored for.
pub(crate) fn of(object: &Object) -> Option<&str> {
    object.annotations.get(KEY).map(String::as_str)
}

/// Stores the key of a lock in its object.
pub(crate) fn keep(name: &LockName, mut object: Object) -> Object {
    if let Some(key) = name.key() {
        object.annotations.insert(KEY.to_owned(), key.to_owned());
    }
    object
}

/// Fails if the object is stored for another key. An object that was made beforehand has no key.
pub(crate) fn check(name: &LockName, object: &Object) -> Result<(), OtherKey> {
    match (name.key(), of(object)) {
        (Some(wanted), Some(kept)) if wanted != kept => Err(OtherKey {
            wanted: start_of(wanted),
            kept: start_of(kept),
        }),
        _ => Ok(()),
    }
}

fn start_of(key: &str) -> String {
    key.chars().take(80).collect()
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length {
            0 => f.write_str("a lock's key cannot be empty: use any text")?,
            length => write!(f, "a lock's key cannot have {length} bytes: use any text")?,
        }
        write!(f, " of at most {LONGEST} bytes")
    }
}

impl std::error::Error for InvalidKey {}

impl HasErrno for InvalidKey {
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

impl fmt::Display for OtherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, kept } = self;
        write!(
            f,
            "it is kept for the key {kept:?}, not for {wanted:?}; leaving it unchanged"
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The README lists these too, for other programs: they never change.
    const VECTORS: [(&str, &str); 6] = [
        (
            "feature/ABC_1",
            "feature-abc-1-bd215f57c7ceffa222644e3592648efa",
        ),
        ("deploy", "deploy-b7bd55c11b781b0ccc43aa6e57f9dadf"),
        ("--Deploy--", "deploy-4dcdaa50c223c3893385bb5e3eae1324"),
        (
            "https://example.com/org/repo.git?ref=main",
            "https-example-com-org-repo-git-66ef7ff73e2f65c4644a3f0b3366479d",
        ),
        ("Größe", "gr-e-aedc3f80989a6546962705852b2f4a48"),
        ("锁", "4f62f920d67e4daac5bfe83b46a19e81"),
    ];

    #[test]
    fn names_are_those_of_the_readme() {
        let readme = include_str!("../README.md");
        for (key, name) in VECTORS {
            assert_eq!(name_of(key).unwrap(), name, "{key}");
            let line = format!("| `{key}` | `{name}` |\n");
            assert!(readme.contains(&line), "{line}");
        }
    }

    /// Runs the README's shell commands.
    #[test]
    fn a_shell_makes_the_same_names() {
        let readme = include_str!("../README.md");
        let begin = "```console\n$ key=feature/ABC_1\n";
        let block = readme.split(begin).nth(1).unwrap();
        let block = block.split("```").next().unwrap();
        let script = block.lines().filter_map(|line| line.strip_prefix("$ "));
        let script = script.collect::<Vec<_>>().join("\n");
        for (key, name) in VECTORS {
            let mut shell = std::process::Command::new("sh");
            let output = shell
                .args(["-c", &script])
                .env("key", key)
                .output()
                .unwrap();
            assert_eq!(
                String::from_utf8(output.stdout).unwrap().trim(),
                name,
                "{key}"
            );
        }
    }

    #[test]
    fn an_empty_key_and_a_huge_one_are_refused() {
        assert!(name_of(&"x".repeat(4096)).is_ok());
        for (bad, said) in [(0, "cannot be empty"), (4097, "cannot have 4097 bytes")] {
            let error = name_of(&"x".repeat(bad)).unwrap_err();
            assert_eq!(error.errno(), Errno::EINVAL);
            assert!(error.to_string().contains(said), "{error}");
            assert!(
                error.to_string().ends_with("of at most 4096 bytes"),
                "{error}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_valid_name_of_its_own(one in ".{1,60}", other in "[A-Za-z/_ -]{1,40}") {
            for key in [&one, &other] {
                let name = name_of(key).unwrap();
                prop_assert!(name.parse::<LockName>().is_ok(), "{name}");
                prop_assert!(name.len() <= 63 && !name.contains('.'), "{name}");
            }
            prop_assert_eq!(one == other, name_of(&one) == name_of(&other));
        }
    }
}
