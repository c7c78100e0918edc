//! Plays the main promises of the process tools on the running kernel. `cargo xtask kernels` boots
//! older kernels with this as their first program.
//!
//! Each scenario is played on each file system, and prints one line: `ok NAME`, or `FAILED NAME:
//! why`.

#![allow(
    clippy::unwrap_used,
    reason = "a scenario that cannot go on panics, as a test does"
)]

mod boot;
mod place;
mod play;
mod scenarios;

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::PathBuf,
};

use clap::Parser;

#[derive(Parser)]
enum Kernels {
    /// Print the names of all scenarios, or of those whose name contains this text
    List {
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Run as the first process: mount the file systems, play on each, and power off
    Boot {
        /// The device for the results; the console has the kernel's messages
        #[arg(long)]
        results: PathBuf,
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Play all scenarios in each of these directories. This must be a child of a PID namespace's
    /// first process: in the end, all other processes are killed
    Play {
        directories: Vec<PathBuf>,
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Send a message to a socket, as `sd_notify(3)` does
    Notify { socket: String, message: String },
}

fn main() {
    match Kernels::parse() {
        Kernels::List { only } => play::names(&only).for_each(|name| println!("{name}")),
        Kernels::Boot { results, only } => boot::boot(&results, &only),
        Kernels::Play { directories, only } => play::play(&directories, &only),
        Kernels::Notify { socket, message } => notify(&socket, &message),
    }
}

/// The name of an abstract socket begins with a null byte, which is written as `@` in variables.
fn notify(socket: &str, message: &str) {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    };
    let from = UnixDatagram::unbound().unwrap();
    from.connect_addr(&address.unwrap()).unwrap();
    from.send(message.as_bytes()).unwrap();
}
