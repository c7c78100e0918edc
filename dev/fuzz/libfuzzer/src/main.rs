//! One binary for all targets: `FUZZ_TARGET` names the target to run.

#![no_main]

use std::{env, sync::OnceLock};

use libfuzzer_sys::fuzz_target;

fn chosen() -> fn(&[u8]) {
    // The standard library does this if there is a `main` function.
    coord_core::signal::ignore_sigpipe();
    let name = env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    let mut all = fuzz::targets().into_iter();
    all.find(|target| target.name == name).expect("FUZZ_TARGET names a target").holds
}

fuzz_target!(|bytes: &[u8]| {
    static HOLDS: OnceLock<fn(&[u8])> = OnceLock::new();
    HOLDS.get_or_init(chosen)(bytes);
});
