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
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some((start, length)) = arguments(&stat) {
        overwrite(start, length, &format!("{GUARD} of {client}"));
    }
}

/// Where the kernel reads the arguments: fields 48 and 49 of `proc_pid_stat(5)`.
fn arguments(stat: &str) -> Option<(usize, usize)> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let address = |field: usize| -> Option<usize> { fields.get(field - 3)?.parse().ok() };
    let (start, end) = (address(48)?, address(49)?);
    // A process that may not see them gets zeros.
    (end > start).then(|| (start, end - start))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_hidden_have_no_place() {
        let stat = |start, end| format!("1 (a) b) S {}{start} {end} 0", "0 ".repeat(44));
        assert_eq!(arguments(&stat(1000, 1007)), Some((1000, 7)));
        assert_eq!(arguments(&stat(0, 0)), None);
        assert_eq!(arguments("1 (a) S 0 0"), None);
    }

    #[test]
    fn a_title_ends_before_its_memory_does() {
        for (text, expected) in [("longer", b"lon\0++"), ("a", b"a\0\0\0++")] {
            let mut memory = *b"++++++";
            overwrite(memory.as_mut_ptr().expose_provenance(), 4, text);
            assert_eq!(&memory, expected);
        }
    }
}
