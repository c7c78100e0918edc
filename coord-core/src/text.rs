//! Makes foreign text fit to show: escapes control characters, masks passwords in URLs, and quotes
//! words for a shell.

use std::{
    ffi::OsStr,
    fmt::{self, Write},
    os::unix::ffi::OsStrExt,
    str::FromStr,
};

/// Shows text from elsewhere (a file, a server, a name) on one line, so that it cannot move a
/// terminal's cursor, change its colours or hide anything. Escapes these as Rust writes them:
/// control characters (`Cc` of Unicode), the line and paragraph separators, and the characters that
/// change the direction of text (Unicode Standard Annex #9).
///
/// ```
/// use coord_core::text::escaped;
/// assert_eq!(escaped("a\x1b[31m\nb").to_string(), r"a\u{1b}[31m\nb");
/// assert_eq!(escaped("naïve 锁").to_string(), "naïve 锁");
/// ```
#[must_use]
pub fn escaped(text: &str) -> Escaped<'_> {
    Escaped(text)
}

/// Text with its control characters escaped, see [`escaped`].
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if is_unsafe(c) {
                write!(f, "{}", c.escape_default())
            } else {
                f.write_char(c)
            }
        })
    }
}

/// Passes text on with its control characters escaped, for text that is written piece by piece:
/// `write!(Escaping(out), "{error}")`.
#[derive(Debug)]
pub struct Escaping<W>(pub W);

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write!(self.0, "{}", escaped(text))
    }
}

/// Quotes one word of a command for pasting into a shell, if it needs quotes. Text that a terminal
/// would obey, and bytes that are not UTF-8, become `$'…'`. POSIX has that form since 2024, and
/// most shells have had it for longer.
///
/// ```
/// use coord_core::text::shell_quoted;
/// assert_eq!(shell_quoted("ci-7"), "ci-7");
/// assert_eq!(shell_quoted("it's $HOME"), r"'it'\''s $HOME'");
/// assert_eq!(shell_quoted("a\x1b'"), r"$'a\033\''");
/// ```
#[must_use]
pub fn shell_quoted(word: impl AsRef<OsStr>) -> String {
    let bytes = word.as_ref().as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._/:=@%+,".contains(byte);
    match std::str::from_utf8(bytes) {
        Ok(word) if !word.is_empty() && bytes.iter().all(plain) => word.to_owned(),
        Ok(word) if !word.contains(is_unsafe) => format!("'{}'", word.replace('\'', r"'\''")),
        _ => {
            let escape = |byte: &u8| match byte {
                b'\\' | b'\'' => format!("\\{}", char::from(*byte)),
                b' '..=b'~' => char::from(*byte).to_string(),
                byte => format!("\\{byte:03o}"),
            };
            format!("$'{}'", bytes.iter().map(escape).collect::<String>())
        }
    }
}

/// Masks the user name and password in a URL, for errors, logs and the live line:
/// `http://***@host/path`.
///
/// It also works for text that is not a URL, because a URL is printed just when it contains a
/// mistake. If the port is not one, it assumes a password with a slash in it. If there is no
/// scheme, everything before the last `@` may be a password.
/// ```
/// use coord_core::text::without_password;
/// assert_eq!(without_password("https://me:secret@host:1/x"), "https://***@host:1/x");
/// assert_eq!(without_password("me:se/cret@host"), "***@host");
/// assert_eq!(without_password("http://host/@scope"), "http://host/@scope");
/// ```
#[must_use]
pub fn without_password(url: &str) -> String {
    let (start, is_meant) = authority_start(url);
    let (scheme, rest) = url.split_at(start);
    // Browsers end it at a backslash too. Others do not, so a password may have one.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_url = is_meant && has_good_port(host);
    let user_end = if is_url { authority } else { rest }.rfind('@');
    match user_end {
        Some(end) => format!("{scheme}***{}", &rest[end..]),
        None => url.to_owned(),
    }
}

/// A number that is written in digits alone, such as a port in a URL. The standard library also
/// takes `+80`.
///
/// ```
/// use coord_core::text::decimal;
/// assert_eq!(decimal("80"), Some(80));
/// assert_eq!(decimal::<u16>("+80"), None);
/// assert_eq!(decimal::<u16>("65536"), None);
/// ```
#[must_use]
pub fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal)
}

/// Where the text after the scheme and any number of slashes begins, and whether the text before it
/// is that of a URL.
fn authority_start(url: &str) -> (usize, bool) {
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    // Text before `://` is meant as a scheme, even if it is not a valid one.
    let is_meant_as_scheme = |text: &str| !text.contains(['/', '\\', '?', '#', '@']);
    let rest = match url.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme.trim_start()) && rest.starts_with(['/', '\\']) => {
            Some(rest)
        }
        Some((scheme, rest)) if is_meant_as_scheme(scheme) && rest.starts_with("//") => Some(rest),
        _ => None,
    };
    let authority = rest.unwrap_or(url).trim_start_matches(['/', '\\']);
    let is_path = |scheme: &str| ["unix:", "file:"].contains(&scheme);
    let is_meant = |rest: &str| rest.starts_with("//") || is_path(&url[..url.len() - rest.len()]);
    (url.len() - authority.len(), rest.is_some_and(is_meant))
}

/// Whether a port, or nothing, follows the host.
fn has_good_port(host: &str) -> bool {
    let after_host = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(_, after)| after),
        None => host.find(':').map_or(Some(""), |at| host.get(at..)),
    };
    let is_port = |after: &str| match after.strip_prefix(':') {
        Some(port) => decimal(port).is_some_and(|port: u16| port > 0),
        None => after.is_empty(),
    };
    after_host.is_some_and(is_port)
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_or_turns_text_around_gets_through() {
        let bad = "\0\x07\x08\t\n\r\x1b\x7f\u{85}\u{9b}\u{200e}\u{2028}\u{202e}\u{2066}";
        assert!(!escaped(bad).to_string().contains(is_unsafe));
        let mut piecewise = String::new();
        write!(Escaping(&mut piecewise), "{bad}\x1b").unwrap();
        assert_eq!(piecewise, escaped(&format!("{bad}\x1b")).to_string());
        assert_eq!(escaped("\\n \"é\" 🔒").to_string(), "\\n \"é\" 🔒");
    }

    #[test]
    fn passwords_are_masked_in_urls_and_in_what_was_meant_as_one() {
        let cases = [
            ("http://u:p@h", "http://***@h"),
            ("http://u:p@h:80/a?b@c#d@e", "http://***@h:80/a?b@c#d@e"),
            ("http://token@h/", "http://***@h/"),
            ("socks5://u:p@@[::1]:1080", "socks5://***@[::1]:1080"),
            ("http:/u:p@h", "http:/***@h"),
            ("\"http://u:p@h/", "\"http://***@h/"),
            ("1://u:p@h/", "1://***@h/"),
            ("http:///u:p@h", "http:///***@h"),
            ("http:\\\\u:p@h", "http:\\\\***@h"),
            ("http:u:p@h", "***@h"),
            ("u:p@h:1", "***@h:1"),
            ("//u:p@h", "//***@h"),
            ("http://u:p/w?x#y@h/z", "http://***@h/z"),
            ("/http://u:p@h/", "/***@h/"),
            ("#http://u:p@h/", "***@h/"),
            ("http//u:p@h/", "***@h/"),
            ("x@http://u:p@h/", "***@h/"),
            ("u@x/y:p@h", "***@h"),
            ("http://u:a@b:c/p@h", "http://***@h"),
            ("http://u:1\\p@h/", "http://***@h/"),
            ("http://[u:p/w@h/", "http://***@h/"),
            ("http://u:123456/p@h", "http://***@h"),
            ("http://u:/p@h", "http://***@h"),
            ("http://u:0/p@h", "http://***@h"),
            ("u:/p/w@h", "u:/***@h"),
            ("u:\\p/w@h", "u:\\***@h"),
            ("http://h", "http://h"),
            ("http://h:80/@a", "http://h:80/@a"),
            ("http://[::1]/@a", "http://[::1]/@a"),
            ("unix:/run/x@y.sock", "unix:/run/x@y.sock"),
            ("h:80", "h:80"),
            ("", ""),
        ];
        for (url, shown) in cases {
            assert_eq!(without_password(url), shown, "{url:?}");
        }
    }

    proptest! {
        #[test]
        fn no_password_is_shown_whatever_is_in_it(
            password in "[a-z]{1}SECRET[!-~]{0,12}", host in "[a-z]{1,8}"
        ) {
            let shown = without_password(&format!("http://me:{password}@{host}"));
            prop_assert!(!shown.contains("SECRET"), "{}", shown);
        }

        /// An argument cannot contain `\0`.
        #[test]
        fn a_shell_reads_what_was_quoted(word in any::<String>()) {
            let word = word.replace('\0', "");
            let quoted = shell_quoted(&word);
            prop_assert!(!quoted.contains(is_unsafe), "{quoted}");
            let mut shell = std::process::Command::new("bash");
            let read = shell.args(["-c", &format!("printf %s {quoted}")]).output().unwrap();
            prop_assert_eq!(String::from_utf8(read.stdout).unwrap(), word);
        }

        #[test]
        fn any_text_is_escaped_to_what_is_safe(text in any::<String>()) {
            prop_assert!(!escaped(&text).to_string().contains(is_unsafe));
        }
    }
}
