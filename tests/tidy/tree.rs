//! The files of this repository as the rules see them, and what a rule answers with.

use std::fmt;
use std::path::Path;

use crate::mask::Masked;

/// One breach of a house rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Where: `engine/src/key.rs:12`.
    pub(crate) at: String,
    /// What is wrong there.
    pub(crate) what: String,
    /// The one thing to do about it.
    pub(crate) remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.at, self.what, self.remedy)
    }
}

/// One text file.
pub(crate) struct File {
    /// Its path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
    /// A Rust file's code and comments told apart; empty for every other file.
    pub(crate) masked: Masked,
}

impl File {
    /// A file at `path` that holds `text`; a rule's own tests plant theirs with it.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let masked = if path.ends_with(".rs") { Masked::of(text) } else { Masked::default() };
        File { path: path.to_owned(), text: text.to_owned(), masked }
    }

    /// Whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is part of what ships: a member's `src`, the developer's commands included.
    pub(crate) fn is_source(&self) -> bool {
        self.path.starts_with("src/") || self.path.contains("/src/")
    }

    /// The word the path begins with: the member, or `src`, `tests`, `examples`.
    pub(crate) fn member(&self) -> &str {
        let within = ["connectors/kafka", "engine/prefetch"];
        let of = |package: &&str| {
            self.path.strip_prefix(*package).is_some_and(|rest| rest.starts_with('/'))
        };
        let first = || self.path.split('/').next().unwrap_or_default();
        within.into_iter().find(of).unwrap_or_else(first)
    }

    /// A breach in line `line`, counted from 1.
    pub(crate) fn finding(&self, line: usize, what: String, remedy: &'static str) -> Finding {
        Finding { at: format!("{}:{line}", self.path), what, remedy }
    }
}

/// Every text file below `root`, in order of path. Build output, version control and a job's own
/// folders are left out, and so is what is not UTF-8.
pub(crate) fn read(root: &Path) -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).expect("a folder of the repository is readable");
        for entry in entries {
            let path = entry.expect("an entry of the repository is readable").path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | ".git" | ".riverrun") {
                    folders.push(path);
                }
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                let relative = path.strip_prefix(root).expect("it lies below the root");
                files.push(File::new(&relative.to_string_lossy().replace('\\', "/"), &text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}
