//! The files, and how much of each is on the disk.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Component, Path},
};

use crate::Event;

/// A disk writes this much as a whole, or not at all.
const SECTOR: usize = 512;

/// A value that changes, and the values that it may have on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Cell<T> {
    /// The values, and when each was set. The first one is on the disk for certain, unless a later
    /// one is.
    values: Vec<(usize, T)>,
}

impl<T: Clone + PartialEq> Cell<T> {
    fn synced(value: T) -> Self {
        let values = vec![(0, value)];
        Self { values }
    }

    fn now(&self) -> &T {
        &self.values[self.values.len() - 1].1
    }

    fn set(&mut self, time: usize, value: T) {
        if *self.now() != value {
            self.values.push((time, value));
        }
    }

    /// Notes that what was set before this time is on the disk.
    fn sync(&mut self, before: usize) {
        let last = self.values.iter().rposition(|(time, _)| *time < before);
        self.values.drain(..last.unwrap_or_default());
    }

    /// The values that it may have, each once, the latest first.
    pub(crate) fn possible(&self) -> Vec<&T> {
        let mut possible = Vec::new();
        for (_, value) in self.values.iter().rev() {
            if !possible.contains(&value) {
                possible.push(value);
            }
        }
        possible
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Each name that ever existed, and the inode that it names.
    Directory(BTreeMap<String, Cell<Option<usize>>>),
    File {
        length: Cell<usize>,
        sectors: BTreeMap<usize, Cell<Vec<u8>>>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub(crate) mode: Cell<u32>,
    pub(crate) content: Content,
}

/// A directory with everything below it, and how much of that is on the disk.
#[derive(Clone, Debug)]
pub struct Disk {
    time: usize,
    pub(crate) inodes: Vec<Inode>,
}

impl Disk {
    /// A directory as it is now, with everything on the disk.
    ///
    /// # Panics
    /// When it cannot be read, or contains anything but files and directories.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let mut disk = Self {
            time: 1,
            inodes: Vec::new(),
        };
        disk.add(root);
        disk
    }

    fn add(&mut self, path: &Path) -> usize {
        let metadata = fs::symlink_metadata(path).expect("it can be examined");
        let mode = metadata.permissions().mode() & 0o7777;
        let number = self.make(mode, metadata.is_dir());
        if metadata.is_dir() {
            for entry in fs::read_dir(path).expect("it can be read") {
                let entry = entry.expect("it can be read");
                let name = entry.file_name().into_string().expect("names are UTF-8");
                let child = self.add(&entry.path());
                let Content::Directory(names) = &mut self.inodes[number].content else {
                    unreachable!("it was made as a directory");
                };
                names.insert(name, Cell::synced(Some(child)));
            }
        } else {
            assert!(metadata.is_file(), "{path:?} is neither file nor directory");
            let data = fs::read(path).expect("it can be read");
            self.write(number, 0, &data);
            self.sync(number, false, usize::MAX);
        }
        number
    }

    fn make(&mut self, mode: u32, is_directory: bool) -> usize {
        let content = if is_directory {
            Content::Directory(BTreeMap::new())
        } else {
            Content::File {
                length: Cell::synced(0),
                sectors: BTreeMap::new(),
            }
        };
        let mode = Cell::synced(mode);
        self.inodes.push(Inode { mode, content });
        self.inodes.len() - 1
    }

    /// Applies the next event.
    ///
    /// # Panics
    /// When the event cannot have happened here: then the record has a gap.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Create { path, mode } => {
                if self.find(path).is_none() {
                    let new = self.make(*mode, false);
                    self.name(path, Some(new));
                }
            }
            Event::MakeDirectory { path, mode } => {
                let new = self.make(*mode, true);
                self.name(path, Some(new));
            }
            Event::Link { from, to } => {
                let file = self.at(from);
                self.name(to, Some(file));
            }
            Event::Unlink { path } => {
                self.at(path);
                self.name(path, None);
            }
            Event::Rename { from, to } => {
                let file = self.at(from);
                self.name(from, None);
                self.name(to, Some(file));
            }
            Event::Write { path, offset, data } => {
                let offset = usize::try_from(*offset).expect("files are small");
                self.write(self.at(path), offset, data);
            }
            Event::SetLength { path, length } => {
                let length = usize::try_from(*length).expect("files are small");
                self.set_length(self.at(path), length);
            }
            Event::SetMode { path, mode } => {
                let (file, time) = (self.at(path), self.time);
                self.inodes[file].mode.set(time, *mode);
            }
            Event::Sync {
                path,
                only_data,
                beside,
            } => self.sync(self.at(path), *only_data, self.time - beside),
            Event::Output(_) | Event::Execute(_) => {}
        }
        self.time += 1;
    }

    fn at(&self, path: &Path) -> usize {
        let found = self.find(path);
        found.unwrap_or_else(|| panic!("nobody was seen to make {path:?}"))
    }

    fn find(&self, path: &Path) -> Option<usize> {
        path.components().try_fold(0, |number, component| {
            let Component::Normal(name) = component else {
                panic!("{path:?} is not a plain path");
            };
            match &self.inodes[number].content {
                Content::Directory(names) => *names.get(name.to_str()?)?.now(),
                Content::File { .. } => None,
            }
        })
    }

    fn name(&mut self, path: &Path, file: Option<usize>) {
        let parent = self.at(path.parent().expect("the root itself stays"));
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.expect("names are UTF-8").to_owned();
        let Content::Directory(names) = &mut self.inodes[parent].content else {
            panic!("{path:?} is not below a directory");
        };
        let cell = names.entry(name).or_insert_with(|| Cell::synced(None));
        cell.set(self.time, file);
    }

    fn file(&mut self, number: usize) -> (&mut Cell<usize>, &mut BTreeMap<usize, Cell<Vec<u8>>>) {
        match &mut self.inodes[number].content {
            Content::File { length, sectors } => (length, sectors),
            Content::Directory(_) => panic!("a directory has no bytes"),
        }
    }

    fn write(&mut self, number: usize, offset: usize, data: &[u8]) {
        let time = self.time;
        let (length, sectors) = self.file(number);
        let end = offset + data.len();
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let start = sector * SECTOR;
            let (first, last) = (offset.max(start), end.min(start + SECTOR));
            let cell = sectors.entry(sector).or_insert_with(zeros);
            let mut bytes = cell.now().clone();
            bytes[first - start..last - start]
                .copy_from_slice(&data[first - offset..last - offset]);
            cell.set(time, bytes);
        }
        let end = end.max(*length.now());
        length.set(time, end);
    }

    fn set_length(&mut self, number: usize, new: usize) {
        let time = self.time;
        let (length, sectors) = self.file(number);
        length.set(time, new);
        for (sector, cell) in sectors {
            let kept = new.saturating_sub(sector * SECTOR).min(SECTOR);
            let mut bytes = cell.now().clone();
            bytes[kept..].fill(0);
            cell.set(time, bytes);
        }
    }

    fn sync(&mut self, number: usize, only_data: bool, before: usize) {
        let inode = &mut self.inodes[number];
        if !only_data {
            inode.mode.sync(before);
        }
        match &mut inode.content {
            Content::Directory(names) => {
                names.values_mut().for_each(|name| name.sync(before));
            }
            Content::File { length, sectors } => {
                length.sync(before);
                sectors.values_mut().for_each(|sector| sector.sync(before));
            }
        }
    }
}

fn zeros() -> Cell<Vec<u8>> {
    Cell::synced(vec![0; SECTOR])
}

/// The content of a file of this length with these sectors.
pub(crate) fn join<'a>(
    length: usize,
    sectors: impl Iterator<Item = (usize, &'a Vec<u8>)>,
) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (sector, content) in sectors {
        let start = (sector * SECTOR).min(length);
        let end = (start + SECTOR).min(length);
        bytes[start..end].copy_from_slice(&content[..end - start]);
    }
    bytes
}
