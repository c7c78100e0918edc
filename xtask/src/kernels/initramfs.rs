//! The files of the virtual machine: an archive (cpio, `newc`) that the kernel unpacks into memory.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    process::Command,
};

use super::TOOLS;
use crate::{Result, process};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// A binary that needs libraries contains this name.
const LOADER: &[u8] = b"/ld-linux-x86-64.so.2\0";

/// The kernel expects each part at a multiple of this many bytes.
const ALIGNED: usize = 4;

pub(super) fn write(to: &Path, binaries: &Path, overlay: Option<&Path>) -> Result {
    let mut archive = Archive {
        file: BufWriter::new(File::create(to)?),
        entries: 0,
        length: 0,
    };
    for directory in ["bin", "dev", "lib"] {
        archive.add(directory, DIRECTORY, b"")?;
    }
    archive.add("init", PROGRAM, &read(&binaries.join("kernels"))?)?;
    for tool in TOOLS {
        archive.add(
            &format!("bin/{tool}"),
            PROGRAM,
            &read(&binaries.join(tool))?,
        )?;
    }
    let busybox = process::on_path("busybox").ok_or("no busybox")?;
    let program = read(&busybox)?;
    if program.windows(LOADER.len()).any(|it| it == LOADER) {
        let shown = busybox.display();
        return Err(format!("{shown} needs libraries: Debian's busybox-static does not").into());
    }
    archive.add("bin/busybox", PROGRAM, &program)?;
    let applets = process::output(Command::new(&busybox).arg("--list"))?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        archive.add(&format!("bin/{applet}"), LINK, b"busybox")?;
    }
    if let Some(overlay) = overlay {
        archive.add("lib/overlay.ko", PROGRAM, &read(overlay)?)?;
    }
    archive.end()
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()).into())
}

struct Archive {
    file: BufWriter<File>,
    entries: u32,
    length: usize,
}

impl Archive {
    /// The format is in cpio(5) of the BSDs, and in `initramfs/buffer-format` of the kernel.
    fn add(&mut self, name: &str, mode: u32, data: &[u8]) -> Result {
        self.entries += 1;
        let size = u32::try_from(data.len())?;
        let name_size = u32::try_from(name.len() + 1)?;
        // Number, mode, user, group, links, time, size, device (2), device itself (2), name, sum.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        self.put(b"070701")?;
        for field in fields {
            self.put(format!("{field:08x}").as_bytes())?;
        }
        self.put(name.as_bytes())?;
        self.put(b"\0")?;
        self.align()?;
        self.put(data)?;
        self.align()
    }

    fn end(mut self) -> Result {
        self.add("TRAILER!!!", 0, b"")?;
        Ok(self.file.flush()?)
    }

    fn put(&mut self, bytes: &[u8]) -> Result {
        self.length += bytes.len();
        Ok(self.file.write_all(bytes)?)
    }

    fn align(&mut self) -> Result {
        let missing = self.length.next_multiple_of(ALIGNED) - self.length;
        self.put(&vec![0; missing])
    }
}
