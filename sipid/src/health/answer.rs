//! Answers of HTTP servers, RFC 9112, parsed as leniently as curl does.

use std::io::{self, BufRead, Read};

use coord_core::text::{decimal, escaped};

/// The maximum length of an answer's head, as in curl.
const LONGEST_HEAD: u64 = 300 * 1024;

/// The head of an answer.
pub(super) struct Head {
    pub(super) status: u16,
    is_http_1_0: bool,
    fields: Vec<(String, String)>,
}

/// How the end of a body is known, RFC 9112 section 6.3.
enum Length {
    Known(u64),
    Chunked,
    UntilClose,
}

impl Head {
    /// Reads a head, and skips informational ones (100 to 199 except 101).
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        loop {
            let head = Self::read_one(&mut reader.take(LONGEST_HEAD))?;
            if !matches!(head.status, 100 | 102..=199) {
                return Ok(head);
            }
        }
    }

    fn read_one(reader: &mut io::Take<impl BufRead>) -> io::Result<Self> {
        let first = line(reader)?;
        let (is_http_1_0, status) = status(&first).ok_or_else(|| not_http(&first))?;
        let mut fields: Vec<(String, String)> = Vec::new();
        loop {
            let text = line(reader)?;
            match text.split_once(':') {
                _ if text.is_empty() => break,
                // A line that continues the previous one, RFC 9112 section 5.2.
                _ if text.starts_with([' ', '\t']) => {
                    if let Some((_, value)) = fields.last_mut() {
                        value.push(' ');
                        value.push_str(text.trim());
                    }
                }
                Some((name, value)) => {
                    fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                }
                None => {}
            }
        }
        Ok(Self {
            status,
            is_http_1_0,
            fields,
        })
    }

    /// The value of the first header with this name, which must be in lower case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    }

    fn lists(&self, name: &str, token: &str) -> bool {
        let mut values = self.fields.iter().filter(|(known, _)| known == name);
        values.any(|(_, value)| {
            value
                .split(',')
                .any(|word| word.trim().eq_ignore_ascii_case(token))
        })
    }

    /// Whether the connection can be reused after the body, RFC 9112 section 9.3.
    pub(super) fn keeps_open(&self) -> bool {
        let wanted = !self.is_http_1_0 || self.lists("connection", "keep-alive");
        wanted && !self.lists("connection", "close") && !matches!(self.length(), Length::UntilClose)
    }

    fn length(&self) -> Length {
        if matches!(self.status, 100..=199 | 204 | 304) {
            return Length::Known(0);
        }
        if self.lists("transfer-encoding", "chunked") {
            return Length::Chunked;
        }
        let length = self.get("content-length").and_then(decimal);
        length.map_or(Length::UntilClose, Length::Known)
    }

    /// Reads up to `most` bytes of the body. Also returns whether that was all of it.
    pub(super) fn read_body(
        &self,
        reader: &mut impl BufRead,
        most: u64,
    ) -> io::Result<(Vec<u8>, bool)> {
        match self.length() {
            Length::Known(length) => {
                let body = exactly(reader, length.min(most))?;
                Ok((body, length <= most))
            }
            Length::Chunked => read_chunks(reader, most),
            Length::UntilClose => {
                let mut body = Vec::new();
                match reader.take(most).read_to_end(&mut body) {
                    // TLS that the server closed without an end, as many do.
                    Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
                    _ => Ok((body, false)),
                }
            }
        }
    }
}

/// Reads a chunked body, RFC 9112 section 7.1.
fn read_chunks(reader: &mut impl BufRead, most: u64) -> io::Result<(Vec<u8>, bool)> {
    let mut body = Vec::new();
    loop {
        let size = line(&mut reader.take(LONGEST_HEAD))?;
        let digits = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16)
            .map_err(|_| invalid("a chunk of the body has no valid size".to_owned()))?;
        let room = most - body.len() as u64;
        body.extend(exactly(reader, size.min(room))?);
        if size > room {
            return Ok((body, false));
        }
        // The end of the chunk, or of the trailers after the last one.
        while !line(&mut reader.take(LONGEST_HEAD))?.is_empty() {
            if size > 0 {
                return Err(invalid(
                    "a chunk of the body is longer than it says".to_owned(),
                ));
            }
        }
        if size == 0 {
            return Ok((body, true));
        }
    }
}

fn exactly(reader: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Err(closed("before the end of its answer"));
    }
    Ok(body)
}

/// A line without its end, which may be a bare line feed.
fn line(reader: &mut io::Take<impl BufRead>) -> io::Result<String> {
    let mut bytes = Vec::new();
    reader.read_until(b'\n', &mut bytes)?;
    match bytes.pop() {
        Some(b'\n') => {}
        Some(_) | None if reader.limit() == 0 => {
            let kilobytes = LONGEST_HEAD / 1024;
            return Err(invalid(format!("more than {kilobytes} kB of headers")));
        }
        None => return Err(closed("without an answer")),
        Some(_) => return Err(closed("in the middle of a line")),
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Parses a line such as `HTTP/1.1 200 OK`: whether the version is 1.0, and the status.
fn status(line: &str) -> Option<(bool, u16)> {
    let mut words = line.split_ascii_whitespace();
    let version = words.next()?.strip_prefix("HTTP/1.")?;
    let status = words
        .next()
        .filter(|word| word.len() == 3)
        .and_then(decimal)?;
    Some((version == "0", status)).filter(|_| status >= 100)
}

fn not_http(line: &str) -> io::Error {
    let start: String = line.chars().take(40).collect();
    let start = escaped(&start);
    invalid(format!(
        "the server does not speak HTTP/1: it says \"{start}\""
    ))
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn closed(when: &str) -> io::Error {
    let text = format!("the server closed the connection {when}");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads_are_read_as_they_come() {
        let read = |text: &str| Head::read(&mut text.as_bytes());
        let head = read("HTTP/1.1 200 OK\r\nLocation: /a\r\n /b\r\nA b: c\r\n\r\n").unwrap();
        assert_eq!((head.status, head.get("location")), (200, Some("/a /b")));
        assert!(!head.keeps_open(), "its end is the connection's");
        let head = read("HTTP/1.1 100\n\nHTTP/1.1 204 Fine\n\n").unwrap();
        assert!(head.status == 204 && head.keeps_open());
        let head = read("HTTP/1.0 200 OK\nContent-Length: 0\n\n").unwrap();
        assert!(!head.keeps_open());
        for (length, is_known) in [("0", true), ("+0", false)] {
            let head = read(&format!("HTTP/1.1 200 OK\nContent-Length: {length}\n\n")).unwrap();
            assert_eq!(head.keeps_open(), is_known, "{length}");
        }
        for bad in [
            "",
            "HTTP/1.1",
            "SSH-2.0-x\r\n",
            "HTTP/1.1 2000 x\n\n",
            "HTTP/1.1 200 OK\n",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic_or_too_much(bytes: Vec<u8>, most in 0..64_u64) {
            for start in ["", "HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"] {
                let bytes = [start.as_bytes(), &bytes].concat();
                let mut reader = &bytes[..];
                if let Ok(head) = Head::read(&mut reader)
                    && let Ok((body, _)) = head.read_body(&mut reader, most)
                {
                    prop_assert!(body.len() as u64 <= most);
                }
            }
        }

        #[test]
        fn chunks_are_put_together(chunks in prop::collection::vec("[a-z]{1,9}", 0..9)) {
            let text: String = chunks.iter().map(|c| format!("{:x}\r\n{c}\r\n", c.len())).collect();
            let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{text}0\r\n\r\n");
            let mut reader = text.as_bytes();
            let head = Head::read(&mut reader).unwrap();
            let (body, is_all) = head.read_body(&mut reader, 1000).unwrap();
            prop_assert!(is_all && head.keeps_open());
            prop_assert_eq!(body, chunks.concat().into_bytes());
        }
    }
}
