#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "exitdir needs Linux: it watches directories with inotify, and processes with /proc"
);

#[cfg(feature = "tokio")]
mod aware;
mod dir;
mod entries;
mod error;
mod events;
mod leader;
mod life;
mod record;
mod succession;
mod watch;
mod watcher;

#[cfg(feature = "tokio")]
pub use aware::{aware, aware_of};
pub use coord_core::Errno;
pub use dir::{ExitDir, ExitGuard, on_exit, signal_exit};
pub use error::{Error, Names};
pub use leader::Leader;
pub use record::Record;
pub use watcher::{Ended, Watcher};
