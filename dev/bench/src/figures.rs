//! The figures, in groups that can be measured separately.

mod crash;
mod crowd;
mod hand_off;
mod install;
pub(crate) mod instructions;
mod latency;
mod memory;
mod servers;
mod size;
mod start;
mod wake_ups;

use clap::ValueEnum;

use crate::{Result, Setting, results::Results};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Group {
    /// Whole processes that start, do something small, and end
    Start,
    /// Instructions that a start takes
    Instructions,
    /// Memory while waiting and while holding
    Memory,
    /// The time from an event to the notification about it
    Latency,
    /// How often waiting processes are given the processor
    WakeUps,
    /// From the release of a lock to its next holder
    HandOff,
    /// From the death of a lock's holder to the next holder
    Crash,
    /// A thousand waiters for one lock
    Crowd,
    /// Sizes of the binaries
    Size,
    /// Builds from scratch, with the crates downloaded
    Install,
}

impl Group {
    pub(crate) fn measure(self, setting: &Setting, results: &mut Results) -> Result {
        match self {
            Self::Start => start::measure(setting, results),
            Self::Instructions => instructions::measure(setting, results),
            Self::Memory => memory::measure(setting, results),
            Self::Latency => latency::measure(setting, results),
            Self::WakeUps => wake_ups::measure(setting, results),
            Self::HandOff => hand_off::measure(setting, results),
            Self::Crash => crash::measure(setting, results),
            Self::Crowd => crowd::measure(setting, results),
            Self::Size => size::measure(setting, results),
            Self::Install => install::measure(setting, results),
        }
    }
}
