//! Reads files, and reads them again when they change.

use std::{
    error::Error,
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

type Parse<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync>;

/// The parsed content of files. If it becomes invalid, for example while two files are being
/// replaced, the previous content stays.
pub(crate) struct Files<T> {
    paths: Vec<PathBuf>,
    parse: Parse<T>,
    read: Mutex<Read<T>>,
}

struct Read<T> {
    stamps: Vec<Option<Stamp>>,
    value: Arc<T>,
}

/// What changes when a file is written or replaced: device, inode, size, and the time in seconds
/// and nanoseconds.
#[derive(PartialEq, Eq)]
struct Stamp(u64, u64, u64, i64, i64);

/// Why files are invalid: one cannot be read, or its content is wrong.
pub(crate) type Unusable = Box<dyn Error + Send + Sync>;

/// A file that cannot be read.
#[derive(Debug)]
struct CannotRead(PathBuf, io::Error);

impl<T> Files<T> {
    /// Reads the files for the first time. `parse` receives the content of each.
    pub(crate) fn read(
        paths: Vec<PathBuf>,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, Unusable> {
        let parse: Parse<T> = Box::new(parse);
        let read = Read::of(&paths, &parse)?;
        Ok(Self {
            paths,
            parse,
            read: Mutex::new(read),
        })
    }

    /// The current content.
    pub(crate) fn current(&self) -> Arc<T> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.stamps != stamps(&self.paths)
            && let Ok(newer) = Read::of(&self.paths, &self.parse)
        {
            *read = newer;
        }
        Arc::clone(&read.value)
    }
}

impl<T> Read<T> {
    fn of(paths: &[PathBuf], parse: &Parse<T>) -> Result<Self, Unusable> {
        // Taken before reading: if a file changes meanwhile, it is read again.
        let stamps = stamps(paths);
        let contents = paths.iter().map(|path| content(path));
        let contents = contents.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            stamps,
            value: Arc::new(parse(&contents)?),
        })
    }
}

impl<T> fmt::Debug for Files<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Files").field(&self.paths).finish()
    }
}

impl fmt::Display for CannotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {:?}", self.0)
    }
}

impl Error for CannotRead {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.1)
    }
}

fn content(path: &Path) -> Result<Vec<u8>, CannotRead> {
    fs::read(path).map_err(|error| CannotRead(path.to_owned(), error))
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let it = fs::metadata(path).ok()?;
        let (at, nanos) = (it.mtime(), it.mtime_nsec());
        Some(Stamp(it.dev(), it.ino(), it.size(), at, nanos))
    };
    paths.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(files: &[Vec<u8>]) -> Result<u32, String> {
        let text = String::from_utf8_lossy(&files[0]);
        text.trim().parse().map_err(|_| "no number".to_owned())
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed_for_the_better() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let replace = |text: &str| {
            let new = directory.path().join("new");
            fs::write(&new, text).unwrap();
            fs::rename(&new, &path).unwrap();
        };
        assert!(Files::read(vec![path.clone()], number).is_err());
        replace("1");
        let files = Files::read(vec![path.clone()], number).unwrap();
        let first = files.current();
        assert!(Arc::ptr_eq(&first, &files.current()), "it has not changed");
        for (text, expected) in [("x", 1), ("2", 2), ("", 2), ("3", 3)] {
            replace(text);
            assert_eq!(*files.current(), expected, "{text:?}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(*files.current(), 3);
    }
}
