//! [`ConfigSources`]: everything a configuration is made of, read once from file, environment and
//! command line. The only part of the configuration that does I/O.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::bytes::Bytes;
use super::error::ConfigError;
use super::machine;
use super::origin::Origin;

/// The file that is read from the current folder when none is named.
const FILE_NAME: &str = "job.toml";

/// What the variables of the engine begin with.
pub(super) const PREFIX: &str = "RIVERRUN_";

/// Variables that begin so too and are no keys: a drill gives them to the runs it starts.
const OF_DRILLS: [&str; 2] = ["RIVERRUN_CRASH", "RIVERRUN_DRILL_"];

/// Everything a configuration is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigSources {
    /// The file, where there is one.
    pub file: Option<FileText>,
    /// The variables that begin with `RIVERRUN_`.
    pub environment: Vec<(String, String)>,
    /// The flags.
    pub flags: Flags,
    /// How many cores the machine gives this process.
    pub cores: u32,
    /// How much memory the machine gives this process, where that is known.
    pub memory: Option<Bytes>,
    /// The system's folder for what is thrown away.
    pub temp_dir: PathBuf,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// As errors name it.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// The flags that every command takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Flags {
    /// Reads the configuration from this file; without it from `job.toml`, where there is one
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Subtasks of every operator that sets none itself [default: the number of cores]
    #[arg(long, value_name = "N", global = true)]
    pub parallelism: Option<String>,
    /// Sets one of the job's own settings: `--set speed.limit=900`
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub settings: Vec<String>,
    /// Sets one of the engine's keys: `--conf checkpoint.interval=100ms` (all: `config show`)
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    pub conf: Vec<String>,
}

impl ConfigSources {
    /// Reads the file and the environment of this process.
    ///
    /// # Errors
    /// A named file that cannot be read; a `job.toml` that is there but cannot be read.
    pub fn read(flags: Flags) -> Result<Self, ConfigError> {
        let file = match &flags.config {
            Some(path) => read_file(path)
                .and_then(|text| text.ok_or_else(|| unreadable(path, "there is no such file")))?,
            None => match read_file(Path::new(FILE_NAME))? {
                Some(text) => text,
                None => return Self::with(None, flags),
            },
        };
        Self::with(Some(file), flags)
    }

    fn with(file: Option<FileText>, flags: Flags) -> Result<Self, ConfigError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cores = u32::try_from(cores).unwrap_or(1);
        let (memory, temp_dir) = (machine::memory(), std::env::temp_dir());
        Ok(ConfigSources { file, environment: environment()?, flags, cores, memory, temp_dir })
    }
}

/// The file's text; `None` when there is no such file.
#[allow(clippy::disallowed_methods, reason = "the door to the configuration file")]
fn read_file(path: &Path) -> Result<Option<FileText>, ConfigError> {
    let name = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(FileText { name, text })),
            Err(_) => Err(unreadable(path, "it is not UTF-8 text")),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error.to_string())),
    }
}

fn unreadable(path: &Path, reason: &str) -> ConfigError {
    ConfigError::Unreadable { path: path.display().to_string(), reason: reason.to_owned() }
}

fn environment() -> Result<Vec<(String, String)>, ConfigError> {
    let mut found = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        if OF_DRILLS.iter().any(|own| name.starts_with(own)) {
            continue;
        }
        let value = value.into_string().map_err(|_| ConfigError::Value {
            key: name.to_owned(),
            origin: Origin::Environment(name.to_owned()),
            found: "not UTF-8".to_owned(),
            allowed: "text".to_owned(),
        })?;
        found.push((name.to_owned(), value));
    }
    found.sort();
    Ok(found)
}
