//! Archives with the same content whenever and wherever they are made.

use std::{fs, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use ring::digest;
use tar::{Builder, Header};

use crate::Result;

/// A file in an archive.
pub(crate) struct Entry {
    path: String,
    mode: u32,
    content: Vec<u8>,
}

impl Entry {
    pub(crate) fn new(path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        let (path, content) = (path.to_owned(), content.into());
        Self {
            path,
            mode,
            content,
        }
    }

    pub(crate) fn read(path: &str, mode: u32, file: &Path) -> Result<Self> {
        let content = fs::read(file).map_err(|error| format!("cannot read {file:?}: {error}"))?;
        Ok(Self::new(path, mode, content))
    }
}

/// A tar archive of these files, sorted by path, below one directory if `below` is set. All belong
/// to root and have this time.
pub(crate) fn tar(mut entries: Vec<Entry>, below: Option<&str>, epoch: u64) -> Result<Vec<u8>> {
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    let mut tar = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_ustar();
        header.set_size(entry.content.len().try_into()?);
        header.set_mode(entry.mode);
        header.set_mtime(epoch);
        let path = below.map_or(entry.path.clone(), |below| {
            format!("{below}/{}", entry.path)
        });
        tar.append_data(&mut header, path, &entry.content[..])?;
    }
    Ok(tar.into_inner()?)
}

pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}
