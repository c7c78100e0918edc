//! A file that was found but not touched.

pub(crate) use found::Handle;

/// Uses a descriptor that can neither read nor write.
#[cfg(target_os = "linux")]
mod found {
    use std::{
        fs::{File, Metadata},
        io,
        os::fd::AsRawFd,
        path::{Path, PathBuf},
    };

    use nix::{
        fcntl::{OFlag, open},
        sys::stat::Mode,
    };

    #[derive(Debug)]
    pub(crate) struct Handle(File);

    impl Handle {
        pub(crate) fn find(path: &Path) -> io::Result<Self> {
            // Not through the standard library: on musl it would drop O_PATH, which musl counts as
            // an access mode.
            let handle = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
            Ok(Self(File::from(handle)))
        }

        pub(crate) fn metadata(&self) -> io::Result<Metadata> {
            self.0.metadata()
        }

        /// A path that leads to this very file if `/proc` is mounted.
        pub(crate) fn path(&self) -> Option<PathBuf> {
            Some(format!("/proc/self/fd/{}", self.0.as_raw_fd()).into())
        }
    }
}

/// Other systems have no such descriptor, so only the file's identity is known.
#[cfg(not(target_os = "linux"))]
mod found {
    use std::{
        fs::{self, Metadata},
        io,
        path::{Path, PathBuf},
    };

    #[derive(Debug)]
    pub(crate) struct Handle(Metadata);

    impl Handle {
        pub(crate) fn find(path: &Path) -> io::Result<Self> {
            fs::metadata(path).map(Self)
        }

        #[allow(clippy::unnecessary_wraps, reason = "on Linux it can fail")]
        pub(crate) fn metadata(&self) -> io::Result<Metadata> {
            Ok(self.0.clone())
        }

        #[allow(clippy::unused_self, reason = "on Linux there is one")]
        pub(crate) fn path(&self) -> Option<PathBuf> {
            None
        }
    }
}
