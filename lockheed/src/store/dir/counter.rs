//! `.counter`: the number of the last write, and a limit. The limit is on the disk before any
//! number up to it is used.
//!
//! The number itself need not be on the disk, because all processes of one boot see it in the
//! kernel's cache. If the limit is from another boot, the number on the disk may be too low, so
//! counting continues at the limit. In this way only one in [`STEP`] writes waits for the disk.
//!
//! Until a new limit is on the disk, its boot ID is zeros. A writer that finds zeros sets a new
//! limit.

use std::{fs::OpenOptions, os::unix::fs::FileExt, path::Path};

use coord_core::Errno;

use super::{failed, files::Files, invalid, open};
use crate::store::{StoreError, StoreErrorKind};

const COUNTER: &str = ".counter";

/// How many numbers one limit covers.
const STEP: u64 = 1000;

/// The file is never longer than this.
const LONGEST: u64 = 256;

#[derive(Debug, PartialEq)]
struct Counter {
    last: u64,
    limit: u64,
    /// The ID of the boot in which the limit was set. It is zeros until the limit is on the disk,
    /// and empty if somebody wrote the number by hand.
    boot: String,
}

/// The next number. It is higher than all earlier ones, including those of earlier boots. The
/// caller must hold the guard.
pub(super) fn next(files: &Files) -> Result<u64, StoreError> {
    let path = files.path(COUNTER);
    let options = OpenOptions::new().read(true).write(true).clone();
    let open = || open::open_to_change(&options, &path);
    let before = match open() {
        Err(error) if error.kind() == StoreErrorKind::NotFound => begin(files)?,
        opened => Counter::parse(&open::read_all(&opened?, &path, LONGEST)?, &path)?,
    };
    let (next, is_new_limit) = before.next(files.boot()).ok_or_else(|| {
        let text = format!(
            "{path:?} is at the highest number there is: remove the directory when no lock in it \
             is held, and whatever keeps tokens of it"
        );
        invalid(Errno::EOVERFLOW, text)
    })?;
    if is_new_limit {
        files.write_whole(COUNTER, &next.unsynced().to_text())?;
        files
            .sync()
            .map_err(|error| failed("write", &path, error))?;
    }
    let (file, text) = (open()?, next.to_text());
    let written = file
        .write_all_at(text.as_bytes(), 0)
        .and_then(|()| file.set_len(text.len() as u64));
    written.map_err(|error| failed("write", &path, error))?;
    Ok(next.last)
}

/// The number of the last write; zero before the first.
pub(super) fn last(files: &Files) -> Result<u64, StoreError> {
    let path = files.path(COUNTER);
    match open::read(&path, LONGEST) {
        Ok(text) => Ok(Counter::parse(&text, &path)?.last),
        Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// The state before the first write. A directory with locks and no counter has lost it: starting
/// again would repeat old tokens. So would a directory that is made anew after a power loss took
/// its name, which is why that name is put on the disk first.
fn begin(files: &Files) -> Result<Counter, StoreError> {
    if files.names()?.is_empty() {
        files
            .sync_above()
            .map_err(|error| failed("write", files.dir(), error))?;
        return Ok(Counter {
            last: 0,
            limit: 0,
            boot: String::new(),
        });
    }
    let text = format!(
        "{:?} is missing, though there are locks: write a number there that is higher than every \
         token so far",
        files.path(COUNTER)
    );
    Err(invalid(Errno::EINVAL, text))
}

impl Counter {
    /// The state after the next write, and whether it has a new limit; none after the highest
    /// number.
    fn next(&self, boot: &str) -> Option<(Self, bool)> {
        let is_of_this_boot = self.boot == boot;
        let last = if is_of_this_boot {
            self.last
        } else {
            self.last.max(self.limit)
        };
        let next = last.checked_add(1)?;
        let is_new_limit = !is_of_this_boot || next > self.limit;
        let limit = if is_new_limit {
            next.saturating_add(STEP)
        } else {
            self.limit
        };
        let boot = boot.to_owned();
        Some((
            Self {
                last: next,
                limit,
                boot,
            },
            is_new_limit,
        ))
    }

    /// The same state with its limit marked as not yet on the disk.
    fn unsynced(&self) -> Self {
        Self {
            boot: "0".repeat(self.boot.len()),
            ..*self
        }
    }

    /// The line with the limit may be missing.
    fn parse(text: &[u8], path: &Path) -> Result<Self, StoreError> {
        let parse = || {
            let mut lines = str::from_utf8(text).ok()?.strip_suffix('\n')?.split('\n');
            let last = number(lines.next()?)?;
            let Some(second) = lines.next() else {
                return Some(Self {
                    last,
                    limit: last,
                    boot: String::new(),
                });
            };
            let (limit, boot) = second.split_once(' ')?;
            let boot = boot.to_owned();
            lines.next().is_none().then_some(Self {
                last,
                limit: number(limit)?,
                boot,
            })
        };
        parse().ok_or_else(|| {
            let text = format!(
                "{path:?} does not contain a number: write one there that is higher than every \
                 token so far"
            );
            invalid(Errno::EINVAL, text)
        })
    }

    /// The text has the same length throughout one boot, so the file never grows.
    fn to_text(&self) -> String {
        format!("{:020}\n{:020} {}\n", self.last, self.limit, self.boot)
    }
}

fn number(digits: &str) -> Option<u64> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Counter, StoreError> {
        Counter::parse(text.as_bytes(), Path::new(".counter"))
    }

    #[test]
    fn another_boot_goes_on_at_the_limit_and_the_same_at_the_number() {
        let counter = parse("00000000000000000007\n00000000000000001007 one\n").unwrap();
        assert_eq!(parse(&counter.to_text()).unwrap(), counter);
        let (same, is_new_limit) = counter.next("one").unwrap();
        assert_eq!((same.last, same.limit, is_new_limit), (8, 1007, false));
        let (other, is_new_limit) = counter.next("two").unwrap();
        assert_eq!((other.last, other.limit, is_new_limit), (1008, 2008, true));
    }

    #[test]
    fn the_limit_is_set_anew_before_it_is_passed() {
        let counter = parse("1007\n1007 one\n").unwrap();
        let (next, is_new_limit) = counter.next("one").unwrap();
        assert_eq!((next.last, next.limit, is_new_limit), (1008, 2008, true));
        let (next, is_new_limit) = parse("5\n").unwrap().next("one").unwrap();
        assert_eq!((next.last, next.limit, is_new_limit), (6, 1006, true));
    }

    #[test]
    fn after_the_highest_number_there_is_none() {
        assert!(
            parse("18446744073709551615\n")
                .unwrap()
                .next("one")
                .is_none()
        );
        let (next, _) = parse("18446744073709551614\n")
            .unwrap()
            .next("one")
            .unwrap();
        assert_eq!((next.last, next.limit), (u64::MAX, u64::MAX));
        assert!(next.next("two").is_none());
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in [
            "",
            "\n",
            "x\n",
            "-1\n",
            "1",
            "1\n2\n",
            "1\n2 b\n3\n",
            "18446744073709551616\n",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
