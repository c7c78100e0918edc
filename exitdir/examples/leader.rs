//! The leader of the demo: works, and signals when it is done.

use std::{thread::sleep, time::Duration};

fn main() -> Result<(), exitdir::Error> {
    let _guard = exitdir::on_exit()?;
    println!("[Leader] Doing work...");
    sleep(Duration::from_secs(5));
    println!("[Leader] Exiting...");
    Ok(())
}
