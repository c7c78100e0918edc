//! A system call as `strace(1)` writes it.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

/// A call that succeeded.
pub(crate) struct Call<'a> {
    pub(crate) line: &'a str,
    pub(crate) name: &'a str,
    pub(crate) arguments: Vec<&'a str>,
    pub(crate) result: &'a str,
}

impl<'a> Call<'a> {
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let (name, rest) = line.split_once('(').unwrap_or_else(|| panic!("{line}"));
        let (arguments, result) = rest.rsplit_once(" = ").unwrap_or_else(|| panic!("{line}"));
        let arguments = arguments
            .trim_end()
            .strip_suffix(')')
            .unwrap_or_else(|| panic!("{line}"));
        // Strings and paths contain only hexadecimal digits, so all brackets here are strace's own.
        let mut depth = 0;
        let arguments = arguments.split(|character| {
            match character {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && character == ','
        });
        // A failed call changed nothing. A call in which the program was killed was not made.
        let is_done = !result.starts_with('-') && !result.starts_with('?');
        is_done.then(|| Self {
            line,
            name,
            arguments: arguments.map(str::trim_start).collect(),
            result,
        })
    }

    pub(crate) fn text(&self, index: usize) -> Vec<u8> {
        let text = self.arguments[index].strip_prefix('"');
        let text = text.and_then(|text| text.strip_suffix('"'));
        unhex(text.unwrap_or_else(|| panic!("no whole text: {}", self.line)))
    }

    pub(crate) fn number(&self, index: usize) -> u64 {
        let number = self.arguments[index].parse();
        number.unwrap_or_else(|_| panic!("no number: {}", self.line))
    }

    pub(crate) fn returned(&self) -> u64 {
        let number = self.result.split(' ').next().unwrap_or_default().parse();
        number.unwrap_or_else(|_| panic!("no number: {}", self.line))
    }

    pub(crate) fn has(&self, index: usize, flag: &str) -> bool {
        let flags = self.arguments.get(index).copied().unwrap_or_default();
        flags.split('|').any(|one| one == flag)
    }
}

/// The path in `3</path>`; none for a file that no longer has a name.
pub(crate) fn open_file(text: &str) -> Option<PathBuf> {
    let (_, rest) = text.split_once('<')?;
    let (path, rest) = rest.split_once('>')?;
    (rest != "(deleted)").then(|| path_of(&unhex(path)))
}

pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let bytes = text.split("\\x").skip(1);
    let byte = |digits| u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text}"));
    bytes.map(byte).collect()
}

pub(crate) fn octal(text: &str) -> u32 {
    u32::from_str_radix(text, 8).unwrap_or_else(|_| panic!("not octal: {text}"))
}

/// The part of the data that was written.
pub(crate) fn written(call: &Call<'_>) -> Vec<u8> {
    let mut data = call.text(1);
    data.truncate(usize::try_from(call.returned()).unwrap_or(usize::MAX));
    data
}
