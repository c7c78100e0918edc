//! Random numbers for tests.

/// Random numbers that can be repeated with a seed. A test that fails shows its seed.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Takes the seed from the environment variable `TEST_SEED`, or from the time.
    ///
    /// # Panics
    /// If the seed is no number.
    #[must_use]
    pub fn seeded() -> Self {
        let now = std::time::SystemTime::now();
        let now = now
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let seed = std::env::var("TEST_SEED").map_or_else(
            |_| u64::from(now.subsec_nanos()),
            |seed| seed.parse().expect("TEST_SEED is a number"),
        );
        println!("TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below the limit, by `SplitMix64`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// True once in so many times.
    pub fn is_one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
