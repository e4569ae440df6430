//! What is written over, what is not, and what stays behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::pages::PAGE;
use super::{Spare, Staged};

/// A folder, what is spare in it, and the number of the next file.
struct World {
    folder: tempfile::TempDir,
    spare: Arc<Spare>,
    next: u32,
}

impl World {
    fn new() -> World {
        World { folder: tempfile::tempdir().expect("a folder"), spare: Arc::default(), next: 0 }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn begin(&mut self) -> (Staged, PathBuf) {
        self.next += 1;
        let file = self.path().join(self.next.to_string());
        (Staged::create(&file, Some(self.spare.clone())).expect("begins"), file)
    }

    /// A file of `bytes`, in pieces.
    fn write(&mut self, bytes: &[u8]) -> PathBuf {
        let (mut staged, file) = self.begin();
        let pieces: Vec<_> = bytes.chunks(10_007).map(Bytes::copy_from_slice).collect();
        // With an empty one in each call, and a last call of none.
        for pieces in pieces.chunks(3).chain([&[][..]]) {
            let pieces =
                [&pieces[..pieces.len() / 2], &[Bytes::new()], &pieces[pieces.len() / 2..]];
            staged.append(&pieces.concat()).expect("writes");
        }
        staged.publish().expect("publishes");
        assert_eq!(fs::read(&file).expect("reads"), bytes);
        file
    }

    fn remove(&self, file: &Path) {
        self.spare.remove(file).expect("removes");
        assert!(!file.exists());
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).expect("lists");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = entries.map(|entry| name(entry.expect("lists"))).collect();
        names.sort();
        names
    }
}

#[cfg(unix)]
fn inode(file: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).expect("is there"))
}

const LEN: usize = 200_000;

#[test]
#[cfg(unix)]
fn what_is_removed_is_written_over_whatever_its_length() {
    let mut world = World::new();
    let mut last = world.write(&[1; LEN]);
    for len in [LEN, LEN - 1, LEN / 2 + 1, LEN - 5000, LEN + 9000] {
        let other = world.write(&[2; LEN]);
        let (at, before) = (inode(&last), inode(&other));
        world.remove(&last);
        assert_eq!(world.names().len(), 2, "{:?}", world.names());
        last = world.write(&vec![3; len]);
        assert_eq!(inode(&last), at);
        assert_eq!(world.names().len(), 2, "{:?}", world.names());
        assert_eq!(fs::read(&other).expect("reads"), [2; LEN]);
        assert_eq!(inode(&other), before);
        world.spare.published(u64::MAX);
        world.remove(&other);
    }
}

#[test]
fn nothing_of_what_was_written_over_is_left_wherever_pages_end() {
    let edges = |pages: usize| [pages * PAGE - 1, pages * PAGE, pages * PAGE + 1];
    let lens: Vec<_> =
        [0, 1].into_iter().chain(edges(1)).chain(edges(2)).chain(edges(30)).collect();
    for before in &lens {
        for len in &lens {
            let mut world = World::new();
            let old = world.write(&vec![1; *before]);
            world.remove(&old);
            assert_eq!(world.names().len(), 1, "{before} bytes");
            world.write(&vec![2; *len]);
            assert_eq!(world.names().len(), 1, "{before} bytes, then {len}");
        }
    }
}

#[test]
fn at_most_one_is_spare_and_none_when_all_is_over() {
    let mut world = World::new();
    let files: Vec<_> = (0..3).map(|_| world.write(&[1; LEN])).collect();
    files.iter().for_each(|file| world.remove(file));
    world.remove(&files[0]);
    assert_eq!(world.names(), ["3#0"], "the last");
    let (mut staged, _) = world.begin();
    staged.append(&[Bytes::from_static(b"begun")]).expect("writes");
    drop(staged);
    assert!(world.names().is_empty(), "what is dropped before it is whole goes");
    let last = world.write(&[1; LEN]);
    world.remove(&last);
    assert_eq!(world.names(), ["5#0"]);
    world.spare = Arc::default();
    assert!(world.names().is_empty());
}

#[test]
fn another_length_than_the_last_is_not_kept() {
    let mut world = World::new();
    for len in [LEN / 2 - 1, LEN * 2 + 1, 100] {
        let (other, last) = (world.write(&vec![1; len]), world.write(&[2; LEN]));
        world.remove(&other);
        assert_eq!(world.names().len(), 1, "{len} bytes");
        fs::remove_file(last).expect("removes");
    }
}

#[test]
#[cfg(unix)]
fn what_has_another_name_is_never_written_over() {
    let mut world = World::new();
    let (linked, pointed) = (world.write(&[1; LEN]), world.path().join("pointed"));
    let (copy, elsewhere) = (world.path().join("copy"), world.path().join("elsewhere"));
    fs::hard_link(&linked, &copy).expect("links");
    fs::write(&elsewhere, [2; LEN]).expect("writes");
    std::os::unix::fs::symlink(&elsewhere, &pointed).expect("links");
    for file in [linked, pointed] {
        world.remove(&file);
        let new = world.write(&[3; LEN]);
        fs::remove_file(new).expect("removes");
    }
    assert_eq!(world.names(), ["copy", "elsewhere"]);
    assert_eq!(fs::read(copy).expect("reads"), [1; LEN]);
    assert_eq!(fs::read(elsewhere).expect("reads"), [2; LEN]);
}

#[test]
fn a_spare_that_somebody_took_away_is_no_loss() {
    let mut world = World::new();
    let file = world.write(&[1; LEN]);
    world.remove(&file);
    fs::remove_file(world.path().join("1#0")).expect("removes");
    world.write(&[2; LEN]);
    assert_eq!(world.names(), ["2"]);
}
