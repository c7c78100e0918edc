//! An etcd that is put back to an earlier state.

use std::{fs, path::Path, process::Command};

use super::{Cluster, ETCD};
use crate::Result;

impl Cluster {
    /// Copies what etcd has into a directory that is made. Both servers are killed for it, and
    /// started again.
    ///
    /// # Errors
    /// As [`start`](Self::start), and those of copying.
    pub fn back_up(&mut self, to: &Path) -> Result {
        self.kill();
        copy(&self.directory.join(ETCD), to)?;
        self.restart()
    }

    /// Puts etcd back to the state of a copy, as somebody does who restores a backup.
    ///
    /// # Errors
    /// As [`back_up`](Self::back_up).
    pub fn restore(&mut self, from: &Path) -> Result {
        self.kill();
        let data = self.directory.join(ETCD);
        fs::remove_dir_all(&data)?;
        copy(from, &data)?;
        self.restart()
    }
}

fn copy(from: &Path, to: &Path) -> Result {
    let copied = Command::new("cp").arg("-r").args([from, to]).output()?;
    if copied.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&copied.stderr).into())
}
