#![doc = include_str!("../README.md")]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "coord-process needs Linux: child subreapers, pidfds and /proc are used as Linux has them"
);

mod pid;
mod process;
pub mod procfs;
#[cfg(feature = "supervise")]
pub mod supervise;

pub use pid::{InvalidPid, Pid};
pub use process::Process;
