//! Where and when the directory is: its file system, this boot, this time namespace, and its epoch.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use coord_core::{Errno, boottime};
use nix::sys::statfs::{FsType, statfs};
use serde::{Deserialize, Serialize};

use super::{failed, files::Files};
use crate::store::{StoreError, StoreErrorKind};

const CLOCK: &str = ".clock";

/// File systems that other machines share, by the magic numbers of `statfs(2)`: their locks and times are not those of one kernel.
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

/// What the directory's time is counted by.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    /// The kernel's ID of this boot: leases of another are void, since their holders are gone.
    pub(super) boot: String,
    /// `CLOCK_BOOTTIME` differs from one time namespace to another.
    time_namespace: String,
    /// The time since 1970 when that clock was zero, as the wall clock had it when the directory was first used in this boot.
    pub(super) epoch: Duration,
}

impl Place {
    /// The one that the directory says, or a new one in a new boot.
    pub(super) fn find(files: &Files) -> Result<Self, StoreError> {
        let kind =
            statfs(files.dir()).map_err(|error| failed("open", files.dir(), error.into()))?;
        refuse_shared(files.dir(), kind.filesystem_type())?;
        let here = Self::here()?;
        if let Some(place) = Self::read(files)?.filter(|place| place.boot == here.boot) {
            return place.accept(&here, files);
        }
        let _guard = files.guard()?;
        if let Some(place) = Self::read(files)?.filter(|place| place.boot == here.boot) {
            return place.accept(&here, files);
        }
        let text = serde_json::to_string(&here).unwrap_or_default();
        files.write_whole(CLOCK, &text)?;
        Ok(here)
    }

    /// That nobody has changed it. Who removes the file while locks are in use starts another time.
    pub(super) fn check(&self, files: &Files) -> Result<(), StoreError> {
        if Self::read(files)?.as_ref() == Some(self) {
            return Ok(());
        }
        let text = format!(
            "{:?} was changed or removed while it was in use",
            files.path(CLOCK)
        );
        Err(StoreError::new(
            StoreErrorKind::Invalid,
            Errno::ESTALE,
            text,
        ))
    }

    fn here() -> Result<Self, StoreError> {
        let boot = "/proc/sys/kernel/random/boot_id";
        let boot =
            fs::read_to_string(boot).map_err(|error| failed("read", Path::new(boot), error))?;
        // Kernels before 5.6 have none.
        let namespace = fs::read_link("/proc/self/ns/time").unwrap_or_default();
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Self {
            boot: boot.trim().to_owned(),
            time_namespace: namespace.to_string_lossy().into_owned(),
            epoch: since.saturating_sub(boottime()),
        })
    }

    fn read(files: &Files) -> Result<Option<Self>, StoreError> {
        let path = files.path(CLOCK);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path, error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            let text =
                format!("{path:?} is not what this program wrote; remove it when no lock is held");
            StoreError::new(StoreErrorKind::Invalid, Errno::EINVAL, text).caused_by(error)
        })
    }

    fn accept(self, here: &Self, files: &Files) -> Result<Self, StoreError> {
        if self.time_namespace == here.time_namespace {
            return Ok(self);
        }
        let text = format!(
            "{:?} is in use from another time namespace, whose clock is another",
            files.dir()
        );
        Err(StoreError::new(
            StoreErrorKind::Invalid,
            Errno::EINVAL,
            text,
        ))
    }
}

fn refuse_shared(dir: &Path, kind: FsType) -> Result<(), StoreError> {
    // The type is wider or narrower, signed or not, by architecture and C library.
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
            Err(StoreError::new(
                StoreErrorKind::Invalid,
                Errno::EOPNOTSUPP,
                text,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use coord_core::HasErrno;
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

    #[test]
    fn another_time_namespace_is_refused_and_another_boot_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path().to_owned());
        let first = Place::find(&files).unwrap();
        assert_eq!(Place::find(&files).unwrap(), first);
        let with = |boot: &str, namespace: &str| {
            let epoch = Duration::from_secs(1);
            let (boot, time_namespace) = (boot.to_owned(), namespace.to_owned());
            let place = Place {
                boot,
                time_namespace,
                epoch,
            };
            fs::write(
                dir.path().join(CLOCK),
                serde_json::to_string(&place).unwrap(),
            )
            .unwrap();
        };
        with(&first.boot, "time:[1]");
        assert_eq!(Place::find(&files).unwrap_err().errno(), Errno::EINVAL);
        with("another", "time:[1]");
        assert_eq!(Place::find(&files).unwrap().boot, first.boot);
        assert_eq!(first.check(&files).unwrap_err().errno(), Errno::ESTALE);
        fs::write(dir.path().join(CLOCK), "x").unwrap();
        assert_eq!(Place::find(&files).unwrap_err().errno(), Errno::EINVAL);
    }
}
