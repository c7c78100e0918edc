//! Where and when the directory is: its file system, boot, time namespace, and epoch.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coord_core::{Errno, boottime};
use nix::sys::statfs::{FsType, statfs};
use serde::{Deserialize, Serialize, de::Error as _};

use super::{alive, failed, files::Files, format, invalid, open};
use crate::store::{StoreError, StoreErrorKind};

const CLOCK: &str = ".clock";

/// The longest file of this kind.
const LONGEST: u64 = 4096;

const MAY_NOT_WRITE: [Errno; 3] = [Errno::EACCES, Errno::EPERM, Errno::EROFS];

/// How far the wall clock may have been set since the directory was first used in this boot, if the
/// start time is to identify the boot.
const SAME_EPOCH: Duration = Duration::from_secs(10);

/// The end of the year 9999, the last year that a lock can have.
const LAST_EPOCH: Duration = Duration::from_secs(253_402_300_799);

/// File systems that several machines share, by the magic numbers of `statfs(2)`. Their locks and
/// times do not come from a single kernel.
const SHARED: [(i64, &str); 8] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x0116_1970, "GFS2"),
];

/// What defines the directory's time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    /// The kernel's ID of this boot. Leases of another boot are void, since their holders are gone.
    pub(super) boot: String,
    /// The time namespace, since `CLOCK_BOOTTIME` differs between namespaces.
    pub(super) time_namespace: String,
    /// The wall-clock time since 1970 at which that clock was zero, as read when the directory was
    /// first used in this boot.
    pub(super) epoch: Duration,
}

impl Place {
    /// The place that the directory records, or a new one in a new boot.
    pub(super) fn find(files: &Files) -> Result<Self, StoreError> {
        let kind =
            statfs(files.dir()).map_err(|error| failed("open", files.dir(), error.into()))?;
        refuse_shared(files.dir(), kind.filesystem_type())?;
        let here = Self::here(files);
        if let Some(place) = Self::read(files)?.filter(|place| place.is_of(&here, files)) {
            return place.accept(&here, files);
        }
        let _guard = match files.guard() {
            // Users who may only look can do so before somebody has written it.
            Err(error) if MAY_NOT_WRITE.contains(&error.errno()) => return Ok(here),
            guard => guard?,
        };
        let said = match Self::read(files)? {
            None => Self::of_locks(files)?,
            said => said,
        };
        let place = match said.filter(|place| place.is_of(&here, files)) {
            Some(place) => place.accept(&here, files)?,
            None => here,
        };
        place.write(files)?;
        Ok(place)
    }

    /// Writes the place again if somebody has removed the file, and checks that the directory
    /// records no other place. The caller must hold the guard.
    pub(super) fn keep(&self, files: &Files) -> Result<(), StoreError> {
        match Self::read(files)? {
            Some(place) if place == *self => Ok(()),
            None => self.write(files),
            Some(_) => {
                let path = files.path(CLOCK);
                let text = format!("{path:?} was changed while it was in use");
                Err(invalid(Errno::ESTALE, text))
            }
        }
    }

    fn here(files: &Files) -> Self {
        // Kernels before 5.6 have no time namespaces.
        let namespace = fs::read_link("/proc/self/ns/time").unwrap_or_default();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            boot: files.boot().to_owned(),
            time_namespace: namespace.to_string_lossy().into_owned(),
            epoch: since.unwrap_or_default().saturating_sub(boottime()),
        }
    }

    /// Whether this place is from the current boot, even if a container sees another boot ID. A
    /// living holder's lock proves that, and so does almost the same epoch: no two boots begin at
    /// the same time.
    fn is_of(&self, here: &Self, files: &Files) -> bool {
        self.boot == here.boot
            || alive::is_any(files)
            || self.epoch.abs_diff(here.epoch) < SAME_EPOCH
    }

    fn read(files: &Files) -> Result<Option<Self>, StoreError> {
        let path = files.path(CLOCK);
        let text = match open::read(&path, LONGEST) {
            Ok(text) => text,
            Err(error) if error.kind() == StoreErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let place = serde_json::from_slice(&text).and_then(|place: Self| match place {
            place if place.epoch <= LAST_EPOCH => Ok(Some(place)),
            _ => Err(serde_json::Error::custom(
                "its epoch is after the year 9999",
            )),
        });
        place.map_err(|error| {
            let text =
                format!("{path:?} is not what this program wrote; remove it when no lock is held");
            invalid(Errno::EINVAL, text).caused_by(error)
        })
    }

    /// The place that the newest lock records, for a directory whose file was removed: its leases
    /// depend on it.
    fn of_locks(files: &Files) -> Result<Option<Self>, StoreError> {
        let names = files.names()?;
        let texts = names
            .iter()
            .filter_map(|name| Some((name, files.read(name).ok()?)));
        let locks = texts.map(|(name, text)| format::read(name, &text));
        let latest = locks.max_by_key(|lock| lock.object.version.number());
        let place = latest.and_then(|lock| lock.place);
        Ok(place.filter(|place| place.epoch <= LAST_EPOCH))
    }

    fn write(&self, files: &Files) -> Result<(), StoreError> {
        files.write_whole(CLOCK, &serde_json::to_string(self).unwrap_or_default())
    }

    fn accept(self, here: &Self, files: &Files) -> Result<Self, StoreError> {
        if self.time_namespace == here.time_namespace {
            return Ok(self);
        }
        let text = format!(
            "{:?} is in use from another time namespace, whose clock is another",
            files.dir()
        );
        Err(invalid(Errno::EINVAL, text))
    }
}

fn refuse_shared(dir: &Path, kind: FsType) -> Result<(), StoreError> {
    // The type's width and sign depend on the architecture and the C library.
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        clippy::cast_possible_wrap,
        reason = "see above"
    )]
    let number = kind.0 as i64 & 0xffff_ffff;
    match SHARED.iter().find(|(magic, _)| *magic == number) {
        None => Ok(()),
        Some((_, name)) => {
            let text = format!(
                "{dir:?} is on {name}: a directory of locks must be on a local file system"
            );
            Err(invalid(Errno::EOPNOTSUPP, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::statfs::{NFS_SUPER_MAGIC, TMPFS_MAGIC};

    use super::*;

    #[test]
    fn shared_file_systems_are_refused_by_name() {
        let error = refuse_shared(Path::new("/mnt"), NFS_SUPER_MAGIC).unwrap_err();
        assert_eq!(error.errno(), Errno::EOPNOTSUPP);
        assert_eq!(
            error.to_string(),
            r#""/mnt" is on NFS: a directory of locks must be on a local file system"#
        );
        assert!(refuse_shared(Path::new("/mnt"), TMPFS_MAGIC).is_ok());
    }

    fn files() -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path().to_owned()).unwrap();
        (dir, files)
    }

    #[test]
    fn another_time_namespace_is_refused_and_another_boot_begins_anew() {
        let (_dir, files) = files();
        let first = Place::find(&files).unwrap();
        assert_eq!(Place::find(&files).unwrap(), first);
        let with = |boot: &str, namespace: &str| {
            let epoch = Duration::from_secs(1);
            let (boot, time_namespace) = (boot.to_owned(), namespace.to_owned());
            Place {
                boot,
                time_namespace,
                epoch,
            }
            .write(&files)
            .unwrap();
        };
        with(&first.boot, "time:[1]");
        assert_eq!(Place::find(&files).unwrap_err().errno(), Errno::EINVAL);
        with("another", "time:[1]");
        assert_eq!(Place::find(&files).unwrap().boot, first.boot);
        assert_eq!(first.keep(&files).unwrap_err().errno(), Errno::ESTALE);
        fs::write(files.path(CLOCK), "x").unwrap();
        assert_eq!(Place::find(&files).unwrap_err().errno(), Errno::EINVAL);
        let epoch = Duration::MAX;
        Place { epoch, ..first }.write(&files).unwrap();
        assert_eq!(Place::find(&files).unwrap_err().errno(), Errno::EINVAL);
    }

    #[test]
    fn another_boot_id_is_the_same_boot_while_a_holder_lives_or_when_it_began_then() {
        let (_dir, files) = files();
        let here = Place::find(&files).unwrap();
        let boot = "another".to_owned();
        let long_ago = Place {
            epoch: Duration::from_secs(1),
            boot,
            ..here.clone()
        };
        long_ago.write(&files).unwrap();
        let holder = alive::ProofOfLife::new(&files).unwrap();
        assert_eq!(Place::find(&files).unwrap(), long_ago);
        drop(holder);
        assert_eq!(Place::find(&files).unwrap().boot, here.boot);
        let as_long = Place {
            epoch: here.epoch,
            ..long_ago
        };
        as_long.write(&files).unwrap();
        assert_eq!(Place::find(&files).unwrap(), as_long);
    }

    #[test]
    fn a_clock_that_was_removed_is_put_back() {
        let (_dir, files) = files();
        let place = Place::find(&files).unwrap();
        fs::remove_file(files.path(CLOCK)).unwrap();
        place.keep(&files).unwrap();
        assert_eq!(Place::find(&files).unwrap(), place);
    }
}
