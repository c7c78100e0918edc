//! Executes itself again, and says what is then as it was: `reexec [ARGUMENT]...`. A SIGUSR1 that
//! comes in between ends it at last. What the tests run.

use std::{env, fs, process};

use coord_process::supervise::reexec::{self, Inherited, SignalMask};
use nix::sys::{
    prctl,
    signal::{Signal, raise},
};

const STATE: &str = "EXAMPLE_STATE";

fn main() {
    let before = reexec::inherited(STATE);
    println!("{}", process::id());
    match before {
        None => again(),
        Some(before) => tell(&before),
    }
}

fn again() {
    prctl::set_name(c"renamed").expect("a name is set");
    let mask = SignalMask::current();
    SignalMask::block_all();
    raise(Signal::SIGUSR1).expect("a signal is sent");
    let error = reexec::execute(STATE, "a:b", &mask);
    eprintln!("reexec: cannot execute this program again: {error}");
}

fn tell(before: &Inherited) {
    println!("text: {}", before.text);
    let name = fs::read_to_string("/proc/self/comm").expect("/proc is there");
    println!("name: {}", name.trim_end());
    println!("arguments: {:?}", env::args().skip(1).collect::<Vec<_>>());
    println!("OTHER: {:?}", env::var("OTHER"));
    println!("state: {:?}", env::var(STATE));
    before.mask.set();
}
