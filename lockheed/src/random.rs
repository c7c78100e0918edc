//! Values that must differ from process to process.

use coord_core::boottime;

/// Sixteen random hexadecimal digits.
pub(crate) fn random_id() -> String {
    format!("{:016x}", seed())
}

/// A number from the kernel, or from the clock if the kernel has none, which is enough to spread
/// waiters.
pub(crate) fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| u64::try_from(boottime().as_nanos()).unwrap_or(0))
}
