//! Fingerprints: 64 bits that identify a state.

use std::{
    fmt::{self, Debug, Write as _},
    hash::{BuildHasherDefault, Hash, Hasher},
};

/// Folded multiplication, which is good enough where nobody chooses the input.
#[derive(Default)]
pub(crate) struct Print(u64);

/// Hashes fingerprints for tables, and values made from them.
pub(crate) type Prints = BuildHasherDefault<Print>;

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Print {
    fn finish(&self) -> u64 {
        fold(self.0 ^ ODD)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
        self.write_u64(bytes.len() as u64);
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = fold(self.0.rotate_left(23) ^ number).wrapping_add(ODD);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

impl fmt::Write for Print {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

fn fold(number: u64) -> u64 {
    const FACTOR: u128 = 0xd6e8_feb8_6659_fd93;
    let product = u128::from(number ^ 0xa076_1d64_78bd_642f) * FACTOR;
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let folded = (product >> 64) as u64 ^ product as u64;
    folded
}

/// The fingerprint of a value that can be hashed.
pub(crate) fn of(value: &impl Hash) -> u64 {
    let mut print = Print::default();
    value.hash(&mut print);
    print.finish()
}

/// The fingerprint of a value's complete `Debug` form.
pub(crate) fn of_debug(value: &impl Debug) -> u64 {
    let mut print = Print::default();
    // Writing to a hasher cannot fail.
    let _ = write!(print, "{value:?}");
    print.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_differs_a_little_has_another_print() {
        let pairs = (0..1000_u32).flat_map(|one| (0..1000_u32).map(move |other| (one, other)));
        let prints: HashSet<u64> = pairs.map(|pair| of(&pair)).collect();
        assert_eq!(prints.len(), 1_000_000);
        assert_ne!(of_debug(&("a", "bc")), of_debug(&("ab", "c")));
    }
}
