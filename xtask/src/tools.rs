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
    /// Compiles librdkafka: any compiler of C++ does.
    Cxx,
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
pub(crate) const KAFKA: [Tool; 4] = [Tool::Cxx, Tool::Make, Tool::Java, Tool::Maven];

impl Tool {
    /// Whether it is there; if not, what to do.
    pub(crate) fn look(self) -> Result<()> {
        let there = match self {
            Tool::Java => return kafka::look_for_java(),
            Tool::Rustfmt => cargo::knows("fmt"),
            Tool::Clippy => cargo::knows("clippy"),
            Tool::Deny => cargo::knows("deny"),
            Tool::Clang => answers("clang++") && has_libclang(),
            Tool::Cxx => ["c++", "g++", "clang++"].into_iter().any(answers),
            Tool::Make => answers("make"),
            Tool::Maven => kafka::has_jars(&kafka::asked_version())? || answers("mvn"),
        };
        if !there {
            bail!(self.remedy());
        }
        Ok(())
    }

    fn remedy(self) -> &'static str {
        match self {
            Tool::Rustfmt => "rustfmt is missing: `rustup component add rustfmt`",
            Tool::Clippy => "clippy is missing: `rustup component add clippy`",
            Tool::Deny => "to check dependencies here too: `cargo install --locked cargo-deny`",
            Tool::Clang => {
                "RocksDB is built with clang and its library: `apt-get install clang libclang-dev` \
                 on Debian or Ubuntu; elsewhere LLVM, with `clang++` on the PATH and, where it is \
                 in no usual place, the library's folder in LIBCLANG_PATH"
            }
            Tool::Cxx => {
                "librdkafka is built with a compiler of C++: `apt-get install g++` on Debian or \
                 Ubuntu; elsewhere `c++`, `g++` or `clang++` on the PATH"
            }
            Tool::Make => {
                "librdkafka is built with make: `apt-get install make` on Debian or Ubuntu; \
                 elsewhere `make` on the PATH"
            }
            Tool::Java => kafka::JAVA_REMEDY,
            Tool::Maven => kafka::MAVEN_REMEDY,
        }
    }

    /// Whether what needs it is skipped where it is missing.
    pub(crate) fn is_optional(self) -> bool {
        self == Tool::Deny
    }

    /// The packages of Debian and its kin that have it.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Tool::Rustfmt | Tool::Clippy | Tool::Deny => &[],
            Tool::Clang => &["clang", "libclang-dev"],
            Tool::Cxx => &["g++"],
            Tool::Make => &["make"],
            // Nobody would look at it where another is named.
            Tool::Java if std::env::var_os("JAVA_HOME").is_some_and(|home| !home.is_empty()) => &[],
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
    let mut words = Vec::new();
    if let Err(error) = install(&missing, progress) {
        words.push(format!("{error:#}"));
    }
    let looked = missing.iter().filter_map(|tool| tool.look().err());
    words.extend(looked.map(|error| format!("{error:#}")));
    if !words.is_empty() {
        bail!("{}", words.join("\nerror: "));
    }
    Ok(())
}

/// Installs those that are packages, where there is a way.
fn install(missing: &[Tool], progress: &Progress) -> Result<()> {
    let packages: Vec<&str> = missing.iter().flat_map(|tool| tool.packages()).copied().collect();
    if packages.is_empty() {
        return Ok(());
    }
    let Some(apt_get) = AptGet::found() else { return Ok(()) };
    progress.say(&format!("installing what is missing: apt-get install {}", packages.join(" ")));
    apt_get.run(&["update"])?;
    apt_get.run(&[&["install", "-y", "--no-install-recommends"], &packages[..]].concat())
}

/// A way to run `apt-get` as root that asks nobody anything.
struct AptGet(&'static [&'static str]);

impl AptGet {
    fn found() -> Option<AptGet> {
        let ways: [&[&str]; 2] = [
            &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"],
            &["sudo", "--non-interactive", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"],
        ];
        let way = usize::from(!rustix::process::geteuid().is_root());
        let found = AptGet(ways[way]);
        cargo::answers(&mut found.command()).then_some(found)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.0[0]);
        command.args(&self.0[1..]).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Result<()> {
        let mut command = self.command();
        // What it prints goes where all progress goes.
        command.arg("-q").args(words).stdout(std::io::stderr());
        let ended = command.status().context("apt-get cannot be started")?;
        if !ended.success() {
            bail!("`apt-get {}` failed; its words are above", words.join(" "));
        }
        Ok(())
    }
}

fn answers(program: &str) -> bool {
    cargo::answers(&mut Command::new(program))
}

/// Whether the library is where Debian puts it. Elsewhere it comes with clang, or bindgen says what
/// it looks for.
fn has_libclang() -> bool {
    if !answers("apt-get") || std::env::var_os("LIBCLANG_PATH").is_some() {
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
            let remedy = tool.remedy();
            assert_eq!(remedy.matches('`').count() % 2, 0, "{remedy}");
            assert!(remedy.contains(" add ") || remedy.contains(" install "), "{remedy}");
            assert!(tool.packages().iter().all(|package| remedy.contains(package)), "{remedy}");
        }
    }
}
