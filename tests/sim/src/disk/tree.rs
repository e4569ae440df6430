//! Folders and files of the simulated disk, as they are and as a loss of power would leave them.
//!
//! Invariant: `durable` of a folder is what its names were at its last sync; `pending` are the
//! changes since, in their order.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::chance::Chance;

/// A file or folder, whatever its names are.
pub(super) type Node = u64;

const ROOT: Node = 0;
/// What is written over is safe in parts of so many bytes: few, as the files here are small.
const PART: usize = 64;

enum Content {
    File {
        bytes: Vec<u8>,
        /// So many of them are safe.
        synced: usize,
        /// What is safe instead, where others are written over it.
        over: Option<Vec<u8>>,
    },
    Folder {
        names: BTreeMap<String, Node>,
        durable: BTreeMap<String, Node>,
        pending: Vec<Change>,
    },
}

/// A change of a folder's names.
#[derive(Clone)]
enum Change {
    Named(String, Node),
    Gone(String),
    Renamed(String, String),
}

impl Change {
    fn make(self, names: &mut BTreeMap<String, Node>) {
        match self {
            Change::Named(name, node) => drop(names.insert(name, node)),
            Change::Gone(name) => drop(names.remove(&name)),
            Change::Renamed(from, to) => {
                if let Some(node) = names.remove(&from) {
                    names.insert(to, node);
                }
            }
        }
    }
}

/// All there is.
pub(super) struct Tree {
    nodes: BTreeMap<Node, Content>,
    next: Node,
}

impl Default for Tree {
    fn default() -> Self {
        Tree { nodes: [(ROOT, folder())].into(), next: ROOT + 1 }
    }
}

fn folder() -> Content {
    Content::Folder { names: BTreeMap::new(), durable: BTreeMap::new(), pending: Vec::new() }
}

fn absent() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// The folder of a path, and the name in it.
fn parts(path: &Path) -> io::Result<(&Path, String)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok((path.parent().unwrap_or(Path::new("/")), name.to_string_lossy().into_owned()))
}

impl Tree {
    fn add(&mut self, content: Content) -> Node {
        let node = self.next;
        self.next += 1;
        self.nodes.insert(node, content);
        node
    }

    /// What lies at `path`.
    pub(super) fn find(&self, path: &Path) -> io::Result<Node> {
        let mut at = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let Some(Content::Folder { names, .. }) = self.nodes.get(&at) else {
                return Err(absent());
            };
            at = *names.get(&*name.to_string_lossy()).ok_or_else(absent)?;
        }
        Ok(at)
    }

    fn change(&mut self, path: &Path, change: Change) -> io::Result<()> {
        let node = self.find(path)?;
        match self.nodes.get_mut(&node) {
            Some(Content::Folder { names, pending, .. }) => {
                change.clone().make(names);
                pending.push(change);
                Ok(())
            }
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Whether it is a folder, and its length.
    pub(super) fn look(&self, path: &Path) -> io::Result<(bool, u64)> {
        Ok(match &self.nodes[&self.find(path)?] {
            Content::File { bytes, .. } => (false, bytes.len() as u64),
            Content::Folder { .. } => (true, 0),
        })
    }

    /// What lies in a folder.
    pub(super) fn names(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        match &self.nodes[&self.find(path)?] {
            Content::Folder { names, .. } => Ok(names.keys().map(|name| path.join(name)).collect()),
            Content::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// All files below a folder, by path; none where there is no such folder.
    pub(super) fn files(&self, path: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for path in self.names(path).unwrap_or_default() {
            match self.look(&path) {
                Ok((true, _)) => found.extend(self.files(&path)),
                Ok((false, _)) => found.push(path),
                Err(_) => {}
            }
        }
        found
    }

    /// A file without a name.
    pub(super) fn nameless(&mut self) -> Node {
        self.add(Content::File { bytes: Vec::new(), synced: 0, over: None })
    }

    /// Names a file; a name that is taken is refused.
    pub(super) fn link(&mut self, node: Node, path: &Path) -> io::Result<()> {
        if self.find(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (folder, name) = parts(path)?;
        self.change(folder, Change::Named(name, node))
    }

    /// Creates a file.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<Node> {
        let node = self.nameless();
        self.link(node, path)?;
        Ok(node)
    }

    /// Creates a folder in one that is there.
    pub(super) fn create_one(&mut self, path: &Path) -> io::Result<()> {
        let node = self.add(folder());
        self.link(node, path)
    }

    /// Creates folders, down to `path`.
    pub(super) fn create_folder(&mut self, path: &Path) -> io::Result<()> {
        if let Some(above) = path.parent().filter(|above| self.find(above).is_err()) {
            self.create_folder(above)?;
        }
        if self.find(path).is_err() { self.create_one(path) } else { Ok(()) }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.find(from)?;
        let ((folder, from), (other, to)) = (parts(from)?, parts(to)?);
        if folder != other {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        self.change(folder, Change::Renamed(from, to))
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let (folder, name) = parts(path)?;
        self.change(folder, Change::Gone(name))
    }

    /// Makes a file's bytes or a folder's names safe.
    pub(super) fn sync(&mut self, node: Node) {
        match self.nodes.get_mut(&node) {
            Some(Content::File { bytes, synced, over }) => (*synced, *over) = (bytes.len(), None),
            Some(Content::Folder { names, durable, pending }) => {
                durable.clone_from(names);
                pending.clear();
            }
            None => {}
        }
    }

    pub(super) fn length(&self, node: Node) -> usize {
        self.bytes(node).len()
    }

    /// The bytes of a file.
    pub(super) fn bytes(&self, node: Node) -> &[u8] {
        match self.nodes.get(&node) {
            Some(Content::File { bytes, .. }) => bytes,
            _ => &[],
        }
    }

    /// Writes at the end of a file.
    pub(super) fn append(&mut self, node: Node, more: &[u8]) {
        if let Some(Content::File { bytes, .. }) = self.nodes.get_mut(&node) {
            bytes.extend_from_slice(more);
        }
    }

    /// Writes over a file from its beginning, and nothing else is in it then.
    pub(super) fn overwrite(&mut self, node: Node, with: Vec<u8>) {
        if let Some(Content::File { bytes, over, .. }) = self.nodes.get_mut(&node) {
            let before = std::mem::replace(bytes, with);
            over.get_or_insert(before);
        }
    }

    /// The content of the file at `path`.
    pub(super) fn content(&self, path: &Path) -> Vec<u8> {
        self.find(path).map(|node| self.bytes(node).to_vec()).unwrap_or_default()
    }

    /// A file that was always there.
    pub(super) fn put(&mut self, path: &Path, bytes: Vec<u8>) {
        let made = path.parent().map_or(Ok(()), |folder| self.create_folder(folder));
        let node = made.and_then(|()| self.create(path)).expect("a new file in a new folder");
        self.append(node, &bytes);
        let all: Vec<Node> = self.nodes.keys().copied().collect();
        all.into_iter().for_each(|node| self.sync(node));
    }

    /// Leaves what is safe, and some of what is not.
    pub(super) fn lose_power(&mut self, chance: &mut Chance) {
        for content in self.nodes.values_mut() {
            match content {
                Content::File { bytes, synced, over: Some(over) } => {
                    *bytes = mixture(over, bytes, chance);
                    *synced = bytes.len();
                }
                Content::File { bytes, synced, over: None } => {
                    let kept = chance.within(*synced as u64, bytes.len() as u64) as usize;
                    bytes.truncate(kept);
                    if chance.happens(1, 2) {
                        // Its length was written, its bytes were not.
                        bytes[*synced..].fill(0);
                    }
                    *synced = kept;
                }
                Content::Folder { names, durable, pending } => {
                    let kept = chance.within(0, pending.len() as u64) as usize;
                    pending.drain(..).take(kept).for_each(|change| change.make(durable));
                    names.clone_from(durable);
                }
            }
        }
        self.forget();
    }

    /// Forgets what has no name any more.
    fn forget(&mut self) {
        let (mut named, mut open) = (vec![ROOT], vec![ROOT]);
        while let Some(node) = open.pop() {
            if let Some(Content::Folder { names, .. }) = self.nodes.get(&node) {
                named.extend(names.values());
                open.extend(names.values());
            }
        }
        named.sort_unstable();
        self.nodes.retain(|node, _| named.binary_search(node).is_ok());
    }
}

/// What is left where `new` was written over `old`: the length of one of them, parts of both.
fn mixture(old: &[u8], new: &[u8], chance: &mut Chance) -> Vec<u8> {
    let length = if chance.happens(1, 2) { old.len() } else { new.len() };
    let mut left = vec![0; length];
    for (number, part) in left.chunks_mut(PART).enumerate() {
        let from = if chance.happens(1, 2) { old } else { new };
        let from = from.get(number * PART..).unwrap_or_default();
        let there = part.len().min(from.len());
        part[..there].copy_from_slice(&from[..there]);
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of one file that was written as `how` says, over many losses of power.
    fn left(how: impl Fn(&mut Tree, Node)) -> Vec<Option<Vec<u8>>> {
        let one = |seed| {
            let (mut tree, path) = (Tree::default(), Path::new("/a"));
            let node = tree.create(path).expect("new");
            tree.append(node, b"abc");
            how(&mut tree, node);
            tree.lose_power(&mut Chance::of(seed));
            tree.find(path).is_ok().then(|| tree.content(path))
        };
        let mut all: Vec<_> = (0..200).map(one).collect();
        all.sort();
        all.dedup();
        all
    }

    #[test]
    fn what_was_synced_is_left_and_of_the_rest_anything_may_be() {
        let whole = Some(b"abc".to_vec());
        let safe = left(|tree, node| {
            tree.sync(node);
            tree.sync(ROOT);
        });
        assert_eq!(safe, std::slice::from_ref(&whole));
        let named = left(|tree, _| tree.sync(ROOT));
        assert!(named.len() == 7 && !named.contains(&None), "torn, never gone: {named:?}");
        let written = left(|tree, node| tree.sync(node));
        assert_eq!(written, [None, whole], "gone or whole");
    }

    #[test]
    fn what_is_written_over_is_the_old_the_new_or_parts_of_both() {
        let (old, new) = ([b'o'; 2 * PART], [b'n'; 3 * PART]);
        let of = |synced: bool| {
            let all = left(|tree, node| {
                tree.overwrite(node, old.to_vec());
                tree.sync(node);
                tree.sync(ROOT);
                tree.overwrite(node, new.to_vec());
                if synced {
                    tree.sync(node);
                }
            });
            all.into_iter().map(|left| left.expect("it has its name")).collect::<Vec<_>>()
        };
        assert_eq!(of(true), [new]);
        let torn = of(false);
        let is_of = |left: &[u8], parts: &str| {
            let first = |part: &[u8]| char::from(if part[0] == 0 { b'0' } else { part[0] });
            left.chunks(PART).map(first).collect::<String>() == parts
        };
        for parts in ["oo", "on", "no", "nn", "oo0", "onn", "non", "nnn", "nn0"] {
            assert!(torn.iter().any(|left| is_of(left, parts)), "{parts}: {torn:?}");
        }
    }

    #[test]
    fn a_rename_that_was_not_synced_happened_or_did_not() {
        let of = |seed| {
            let mut tree = Tree::default();
            tree.put(Path::new("/f/a"), b"x".to_vec());
            tree.rename(Path::new("/f/a"), Path::new("/f/b")).expect("is there");
            tree.lose_power(&mut Chance::of(seed));
            tree.files(Path::new("/")).iter().map(|p| p.display().to_string()).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = (0..50).map(of).collect();
        all.sort();
        all.dedup();
        assert_eq!(all, [["/f/a"], ["/f/b"]]);
    }
}
