//! The trees that are possible after a power loss.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    Disk, Event,
    disk::{Cell, Content, join},
};

/// If at most this many trees are possible at a moment, all of them are checked. If there are more,
/// so many are checked, and those in which at most two values are not the latest, or at most two
/// are not the earliest.
const MOST: usize = 512;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A directory with this mode.
    Directory(u32),
    /// A file with this mode and this content.
    File(u32, Vec<u8>),
}

/// Everything below the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image(pub BTreeMap<PathBuf, Node>);

impl Image {
    /// Creates it below an existing, empty directory.
    ///
    /// # Panics
    /// When it cannot be created.
    pub fn make(&self, root: &Path) {
        for (path, node) in &self.0 {
            let path = root.join(path);
            let mode = match node {
                Node::Directory(mode) => {
                    fs::create_dir(&path).expect("a directory can be made");
                    // We must be able to create what is below it.
                    mode | 0o700
                }
                Node::File(mode, content) => {
                    fs::write(&path, content).expect("a file can be made");
                    *mode
                }
            };
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(&path, mode).expect("its mode can be set");
        }
    }
}

/// A tree that is possible after a power loss.
#[derive(Clone, Debug)]
pub struct Crash {
    /// The tree.
    pub image: Image,
    /// The largest number of events before the power loss.
    pub after: usize,
}

/// The trees that are possible when the power fails before, between or after these events. Each
/// tree is there once, with the latest moment at which it is possible. The order is always the
/// same.
#[must_use]
pub fn crashes(disk: &Disk, events: &[Event]) -> Vec<Crash> {
    let mut disk = disk.clone();
    let mut found = HashMap::new();
    look(&disk, 0, &mut found);
    for (index, event) in events.iter().enumerate() {
        disk.apply(event);
        look(&disk, index + 1, &mut found);
    }
    let crashes = found.into_iter();
    let mut crashes: Vec<_> = crashes
        .map(|(image, after)| Crash { image, after })
        .collect();
    crashes.sort_by(|one, other| (one.after, &one.image).cmp(&(other.after, &other.image)));
    crashes
}

fn look(disk: &Disk, after: usize, found: &mut HashMap<Image, usize>) {
    let mut add = |choices: &mut dyn FnMut(usize) -> usize| {
        found.insert(Walk::image(disk, choices), after);
    };
    // Each walk makes its choices in order. The next walk changes the last choice that can still
    // change.
    let mut path: Vec<(usize, usize)> = Vec::new();
    for _ in 0..MOST {
        let mut at = 0;
        add(&mut |count| {
            if at == path.len() {
                path.push((0, count));
            }
            at += 1;
            path[at - 1].0
        });
        while path
            .last()
            .is_some_and(|(choice, count)| choice + 1 == *count)
        {
            path.pop();
        }
        match path.last_mut() {
            None => return,
            Some((choice, _)) => *choice += 1,
        }
    }
    for is_latest in [true, false] {
        let usual = |count| if is_latest { 0 } else { count - 1 };
        let mut counts = Vec::new();
        add(&mut |count| {
            counts.push(count);
            usual(count)
        });
        for (first, &count) in counts.iter().enumerate() {
            for (second, &other) in counts.iter().enumerate().skip(first) {
                for (choice, another) in
                    (0..count).flat_map(|one| (0..other).map(move |two| (one, two)))
                {
                    let mut at = 0;
                    add(&mut |count| {
                        at += 1;
                        match at - 1 {
                            at if at == first => choice.min(count - 1),
                            at if at == second => another.min(count - 1),
                            _ => usual(count),
                        }
                    });
                }
            }
        }
    }
}

/// Makes one tree. It asks `choose` for each cell that may have several values.
struct Walk<'a> {
    disk: &'a Disk,
    choose: &'a mut dyn FnMut(usize) -> usize,
    image: Image,
    /// A file with two names has the same bytes under both.
    files: HashMap<usize, Node>,
}

impl<'a> Walk<'a> {
    fn image(disk: &'a Disk, choose: &'a mut dyn FnMut(usize) -> usize) -> Image {
        let mut walk = Self {
            disk,
            choose,
            image: Image::default(),
            files: HashMap::new(),
        };
        walk.directory(Path::new(""), 0);
        walk.image
    }

    fn value<T: Clone + PartialEq>(&mut self, cell: &'a Cell<T>) -> &'a T {
        match cell.possible()[..] {
            [one] => one,
            ref several => several[(self.choose)(several.len())],
        }
    }

    fn directory(&mut self, path: &Path, number: usize) {
        let Content::Directory(names) = &self.disk.inodes[number].content else {
            return;
        };
        for (name, cell) in names {
            let Some(child) = *self.value(cell) else {
                continue;
            };
            let (path, inode) = (path.join(name), &self.disk.inodes[child]);
            if let Some(node) = self.files.get(&child) {
                self.image.0.insert(path, node.clone());
                continue;
            }
            let mode = *self.value(&inode.mode);
            match &inode.content {
                Content::Directory(_) => {
                    self.image.0.insert(path.clone(), Node::Directory(mode));
                    self.directory(&path, child);
                }
                Content::File { length, sectors } => {
                    let length = *self.value(length);
                    let sectors: Vec<_> = sectors
                        .iter()
                        .map(|(&sector, cell)| (sector, self.value(cell)))
                        .collect();
                    let node = Node::File(mode, join(length, sectors.into_iter()));
                    self.files.insert(child, node.clone());
                    self.image.0.insert(path, node);
                }
            }
        }
    }
}
