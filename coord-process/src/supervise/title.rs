//! The name and arguments that other processes see for this one.

use std::{fs, ptr};

use nix::sys::prctl;

/// The guard's name. Guards know each other by it, see [`tree`](super::tree).
pub(crate) const GUARD: &str = "coord-guard";

/// Gives the guard its own name and arguments, so that a command that selects the client by its
/// command line does not hit the guard too.
///
/// If the memory of the arguments cannot be found, they stay unchanged.
pub(crate) fn become_guard(client: i32) {
    let _ = prctl::set_name(c"coord-guard");
    if let Some((start, length)) = arguments() {
        overwrite(start, length, &format!("{GUARD} of {client}"));
    }
}

/// Where the kernel reads the arguments: fields 48 and 49 of `proc_pid_stat(5)`.
fn arguments() -> Option<(usize, usize)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let address = |field: usize| -> Option<usize> { fields.get(field - 3)?.parse().ok() };
    let (start, end) = (address(48)?, address(49)?);
    // A process that may not see them gets zeros.
    (start > 0 && end > start).then(|| (start, end - start))
}

/// Fills the rest with zeros. The last byte must stay zero, or the kernel would continue into the
/// environment.
fn overwrite(start: usize, length: usize, text: &str) {
    let text = text.as_bytes();
    let shown = text.len().min(length - 1);
    let memory = ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: the kernel says that this is the memory of our arguments, which is private and
    // writable. Nobody reads them any more: this process has one thread and never returns to the
    // caller's code.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), memory, shown);
        ptr::write_bytes(memory.add(shown), 0, length - shown);
    }
}
