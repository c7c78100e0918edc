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
    /// Whole processes that begin, do something small, and end
    Start,
    /// Instructions that a start takes
    Instructions,
    /// Memory while waiting and while holding
    Memory,
    /// From what happens to who is told
    Latency,
    /// How often those who wait are given a processor
    WakeUps,
    /// From the release of a lock to its next holder
    HandOff,
    /// From the death of a lock's holder to the next holder
    Crash,
    /// A thousand who wait for one lock
    Crowd,
    /// Sizes of the binaries
    Size,
    /// Builds from nothing, with the crates downloaded
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
