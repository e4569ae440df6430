//! What a command needs beside Rust and a C linker. It is made sure of before anything is built:
//! what is a package of Debian is installed where that asks nobody for a password, and everything
//! else is named, with the remedy.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use xtask::kafka;
use xtask::say::Progress;

use crate::cargo;

/// Something a command cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Rustfmt,
    Clippy,
    Deny,
    /// Compiles RocksDB; its library reads RocksDB's header.
    Clang,
    /// Builds librdkafka.
    Make,
    /// Runs a Kafka broker.
    Java,
    /// Fetches that broker, once.
    Maven,
}

/// What RocksDB is built with.
pub(crate) const ROCKSDB: [Tool; 1] = [Tool::Clang];
/// What a Kafka client is built with, and a broker runs on.
pub(crate) const KAFKA: [Tool; 3] = [Tool::Make, Tool::Java, Tool::Maven];

impl Tool {
    /// Whether it is there; if not, what to do.
    pub(crate) fn look(self) -> Result<()> {
        let (there, remedy) = match self {
            Tool::Java => return kafka::look_for_java(),
            Tool::Maven => return kafka::look_for_jars(),
            Tool::Rustfmt => {
                (cargo::knows("fmt"), "rustfmt is missing: `rustup component add rustfmt`")
            }
            Tool::Clippy => {
                (cargo::knows("clippy"), "clippy is missing: `rustup component add clippy`")
            }
            Tool::Deny => (
                cargo::knows("deny"),
                "to check dependencies here too: `cargo install --locked cargo-deny`",
            ),
            Tool::Make => (
                cargo::answers(&mut Command::new("make")),
                "librdkafka is built with make: `apt-get install make` on Debian or Ubuntu",
            ),
            Tool::Clang => (
                cargo::answers(&mut Command::new("clang++")) && has_libclang(),
                "RocksDB is built with clang and its library: `apt-get install clang libclang-dev` \
                 on Debian or Ubuntu; elsewhere LLVM, with `clang++` on the PATH",
            ),
        };
        if !there {
            bail!(remedy);
        }
        Ok(())
    }

    /// Whether what needs it is skipped where it is missing.
    fn is_optional(self) -> bool {
        self == Tool::Deny
    }

    /// The packages of Debian and its kin that have it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Tool::Rustfmt | Tool::Clippy | Tool::Deny => &[],
            Tool::Clang => &["clang", "libclang-dev"],
            Tool::Make => &["make"],
            Tool::Java => &["default-jre-headless"],
            Tool::Maven => &["maven"],
        }
    }
}

/// Makes sure of all of `tools` that are not optional, and says what it does.
///
/// # Errors
/// Some are missing; the error says how to get each.
pub(crate) fn ensure(tools: &[Tool], progress: &Progress) -> Result<()> {
    let mut missing: Vec<Tool> = Vec::new();
    for tool in tools {
        if !missing.contains(tool) && !tool.is_optional() && tool.look().is_err() {
            missing.push(*tool);
        }
    }
    let packages: Vec<&str> = missing.iter().flat_map(|tool| tool.packages()).copied().collect();
    if !packages.is_empty()
        && let Some(as_root) = AsRoot::found()
    {
        progress
            .say(&format!("installing what is missing: apt-get install {}", packages.join(" ")));
        as_root.apt_get(&["update"])?;
        as_root
            .apt_get(&[&["install", "-y", "--no-install-recommends"], &packages[..]].concat())?;
    }
    let looked = missing.iter().filter_map(|tool| tool.look().err());
    let words: Vec<String> = looked.map(|error| format!("{error:#}")).collect();
    if !words.is_empty() {
        bail!("{}", words.join("\nerror: "));
    }
    Ok(())
}

/// How `apt-get` is run without asking anybody.
enum AsRoot {
    Already,
    Sudo,
}

impl AsRoot {
    /// Whether there is such a way.
    fn found() -> Option<AsRoot> {
        let succeeds = |words: &[&str]| {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if !has_apt() {
            None
        } else if rustix::process::geteuid().is_root() {
            Some(AsRoot::Already)
        } else {
            succeeds(&["sudo", "--non-interactive", "true"]).then_some(AsRoot::Sudo)
        }
    }

    fn apt_get(&self, words: &[&str]) -> Result<()> {
        let mut command = match self {
            AsRoot::Already => Command::new("apt-get"),
            AsRoot::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["--non-interactive", "apt-get"]);
                command
            }
        };
        // What it prints goes where all progress goes.
        command.arg("-q").args(words).stdin(Stdio::null()).stdout(std::io::stderr());
        let ended = command.status().context("apt-get cannot be started")?;
        if !ended.success() {
            bail!("`apt-get {}` failed; its words are above", words.join(" "));
        }
        Ok(())
    }
}

fn has_apt() -> bool {
    cargo::answers(&mut Command::new("apt-get"))
}

/// Whether the library is where Debian puts it. Elsewhere it comes with clang, or bindgen says what
/// it looks for.
fn has_libclang() -> bool {
    if !has_apt() || std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let names = |folder: &Path| -> Vec<std::ffi::OsString> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    let lib = Path::new("/usr/lib");
    let llvm = names(lib).into_iter().filter(|name| name.to_string_lossy().starts_with("llvm-"));
    let mut libraries = llvm.flat_map(|llvm| names(&lib.join(llvm).join("lib")));
    libraries.any(|name| is_libclang(&name.to_string_lossy()))
}

/// Beside it lie `libclang-cpp`, which is another, and archives.
fn is_libclang(name: &str) -> bool {
    name.starts_with("libclang") && !name.starts_with("libclang-cpp") && name.contains(".so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libclang_is_told_from_what_lies_beside_it() {
        for name in ["libclang.so", "libclang.so.1", "libclang-14.so.1", "libclang-14.so.14.0.6"] {
            assert!(is_libclang(name), "{name}");
        }
        for name in ["libclang-cpp.so.14", "libclangBasic.a", "libLLVM-14.so"] {
            assert!(!is_libclang(name), "{name}");
        }
    }

    #[test]
    fn what_is_missing_says_how_to_get_it() {
        let of_rust = [Tool::Rustfmt, Tool::Clippy, Tool::Deny];
        for tool in of_rust.iter().chain(&ROCKSDB).chain(&KAFKA) {
            if let Err(error) = tool.look() {
                assert!(error.to_string().contains('`'), "{tool:?}: {error}");
            }
        }
    }
}
