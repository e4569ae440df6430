//! Configurations good and bad: precedence, origins, every error's exact text.

mod bad;
mod good;

use std::path::PathBuf;

use super::{Bytes, Config, ConfigError, ConfigSources, FileText, Flags, LoadedConfig};

/// The layers in a few strings: the file; variables as `NAME=VALUE`; flags as on the command line.
fn load(file: &str, environment: &[&str], flags: &[&str]) -> Result<LoadedConfig, ConfigError> {
    let pair = |text: &&str| {
        let (name, value) = text.split_once('=').expect("NAME=VALUE");
        (name.to_owned(), value.to_owned())
    };
    let mut given = Flags::default();
    for flag in flags {
        match flag.split_once(' ').expect("--flag value") {
            ("--parallelism", n) => given.parallelism = Some(n.to_owned()),
            ("--set", text) => given.settings.push(text.to_owned()),
            (_, text) => given.conf.push(text.to_owned()),
        }
    }
    let sources = ConfigSources {
        file: Some(FileText { name: "job.toml".to_owned(), text: file.to_owned() }),
        environment: environment.iter().map(pair).collect(),
        flags: given,
        cores: 4,
        memory: Some(Bytes::mib(10 << 10)),
        temp_dir: PathBuf::from("/tmp"),
    };
    Config::load("fraud", &sources)
}
