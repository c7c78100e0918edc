#![doc = include_str!("../README.md")]

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!(
    "coord-core and its tools need Linux. \
     For macOS, lockpipes compiles, and lockheed and cmlock without `run`."
);

mod boottime;
pub mod duration;
pub mod errno;
pub mod exit;
mod name;
pub mod signal;
#[cfg(target_os = "linux")]
pub mod signal_name;
pub mod text;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod live;
#[cfg(feature = "cli")]
pub mod log;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod start;
#[cfg(feature = "timer")]
#[cfg_attr(not(target_os = "linux"), path = "timer_elsewhere.rs")]
pub mod timer;
#[cfg(feature = "tls")]
pub mod tls;

pub use boottime::{BootInstant, boottime};
pub use errno::{Errno, HasErrno};
pub use exit::Status;
pub use name::{InvalidLabel, check_label, is_dns_subdomain, parse_label};
