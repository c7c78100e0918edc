//! Names of Kubernetes objects, and their labels.

use std::{error::Error, fmt};

use crate::{Errno, HasErrno};

/// A label that no Kubernetes object can have. The text says what is wrong and what is valid. Its
/// errno is `EINVAL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLabel(String);

/// Whether a ConfigMap, a Pod or most other objects can have this name: a DNS subdomain name
/// (RFC 1123) of at most 253 bytes. Such a name is safe in a request's path and as a file name.
#[must_use]
pub fn is_dns_subdomain(text: &str) -> bool {
    const LONGEST: usize = 253;
    text.len() <= LONGEST && text.split('.').all(is_label)
}

/// Parses a label from the command line, `KEY=VALUE`; the value may be empty.
///
/// ```
/// use coord_core::parse_label;
/// assert_eq!(parse_label("example.com/team=db").unwrap().1, "db");
/// assert!(parse_label("team").is_err() && parse_label("a b=c").is_err());
/// ```
///
/// # Errors
/// `EINVAL` when the text is not a label, or as for [`check_label`].
pub fn parse_label(text: &str) -> Result<(String, String), InvalidLabel> {
    let label = text.split_once('=');
    let (key, value) = label.ok_or_else(|| {
        let start = start_of(text);
        InvalidLabel(format!(
            "{start:?} is not a label: write KEY=VALUE, such as team=db"
        ))
    })?;
    check_label(key, value)?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Checks that a Kubernetes object can have this label. The key is a name with an optional prefix
/// before a slash.
///
/// # Errors
/// `EINVAL`, with the invalid part.
pub fn check_label(key: &str, value: &str) -> Result<(), InvalidLabel> {
    const CHARACTERS: &str =
        "characters from a-z, A-Z, 0-9, \"-\", \"_\" and \".\", with a letter or digit at each end";
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let wrong = |part: &str, text: &str, right: &str| {
        let label: String = start_of(&format!("{key}={value}"));
        let text = start_of(text);
        Err(InvalidLabel(format!(
            "invalid label {label:?}: its {part} {text:?} must {right}"
        )))
    };
    if let Some(prefix) = prefix.filter(|prefix| !is_dns_subdomain(prefix)) {
        let right = "be a DNS name of at most 253 characters from a-z, 0-9, \"-\" and \".\", such as example.com";
        return wrong("prefix", prefix, right);
    }
    if name.is_empty() || !is_label_text(name) {
        return wrong("name", name, &format!("have 1 to 63 {CHARACTERS}"));
    }
    if !is_label_text(value) {
        return wrong(
            "value",
            value,
            &format!("be empty, or have at most 63 {CHARACTERS}"),
        );
    }
    Ok(())
}

/// Whether this is valid as the name in a label's key, or as its value. The empty text is valid.
fn is_label_text(text: &str) -> bool {
    const LONGEST: usize = 63;
    let ends = [text.bytes().next(), text.bytes().last()];
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.len() <= LONGEST
        && ends.iter().flatten().all(u8::is_ascii_alphanumeric)
        && text.bytes().all(good)
}

/// The start of the text, enough to recognise it.
fn start_of(text: &str) -> String {
    text.chars().take(80).collect()
}

impl fmt::Display for InvalidLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for InvalidLabel {}

impl HasErrno for InvalidLabel {
    fn errno(&self) -> Errno {
        Errno::EINVAL
    }
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [label.bytes().next(), label.bytes().last()];
    ends.iter().all(|end| end.is_some_and(plain))
        && label.bytes().all(|byte| plain(byte) || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_that_kubernetes_takes() {
        let long = "x".repeat(63);
        for good in [
            "a=",
            "a=b",
            "A_b.c-d=1",
            "example.com/a=b.c",
            &format!("{long}={long}"),
        ] {
            assert!(parse_label(good).is_ok(), "{good}");
        }
        let cases = [
            (
                "team",
                "\"team\" is not a label: write KEY=VALUE, such as team=db".to_owned(),
            ),
            (
                "=v",
                "its name \"\" must have 1 to 63 characters".to_owned(),
            ),
            ("a b=v", "its name \"a b\" must".to_owned()),
            ("a/b/c=v", "its name \"b/c\" must".to_owned()),
            ("-a=v", "its name \"-a\" must".to_owned()),
            ("/a=v", "its prefix \"\" must be a DNS name".to_owned()),
            (
                "Example.com/a=v",
                "its prefix \"Example.com\" must be a DNS name".to_owned(),
            ),
            (
                "a=b=c",
                "its value \"b=c\" must be empty, or have at most 63 characters".to_owned(),
            ),
            ("a=ä", "its value \"ä\" must".to_owned()),
            ("a=b\n", "its value \"b\\n\" must".to_owned()),
            (&format!("a={long}x"), format!("its value \"{long}x\" must")),
        ];
        for (bad, said) in cases {
            let error = parse_label(bad).unwrap_err().to_string();
            assert!(error.contains(&said), "{bad}: {error}");
        }
    }

    #[test]
    fn names_are_those_of_config_maps() {
        for good in ["a", "0", "a-b", "a.b", "a--b", &"x".repeat(253)] {
            assert!(is_dns_subdomain(good), "{good:?}");
        }
        let long = "x".repeat(254);
        for bad in [
            "", ".", "a.", ".a", "a..b", "-a", "a-", "A", "a_b", "a/b", "../x", "ä", "a b", "a\n",
            &long,
        ] {
            assert!(!is_dns_subdomain(bad), "{bad:?}");
        }
    }
}
