//! Putting the layers together. Pure: [`ConfigSources`] in, [`LoadedConfig`] or the first error
//! out. Called by every command, once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::check;
use super::error::ConfigError;
use super::hint::hint;
use super::keys::{KEYS, defaults, is_section, key, spill_dir};
use super::origin::Origin;
use super::settings::Settings;
use super::sources::ConfigSources;
use super::value::Raw;
use super::{Config, environment, file};

/// One value of one layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) path: Vec<String>,
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// A whole configuration, and who set what.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: Config,
    pub(super) origins: BTreeMap<&'static str, Origin>,
    pub(super) settings: Settings,
}

impl LoadedConfig {
    /// Who set this key of the engine, e.g. `checkpoint.interval`.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }
}

impl Config {
    /// Puts the layers together: defaults, the file, the environment, the flags.
    ///
    /// # Errors
    /// The first key or value that is wrong, with its place and what is allowed.
    pub fn load(job: &str, sources: &ConfigSources) -> Result<LoadedConfig, ConfigError> {
        let mut entries = match &sources.file {
            Some(file) => file::entries(file)?,
            None => Vec::new(),
        };
        entries.extend(environment::variables(&sources.environment)?);
        entries.extend(environment::flags(&sources.flags)?);
        let mut loaded = LoadedConfig {
            config: defaults(job, sources.cores, sources.memory, &sources.temp_dir),
            origins: BTreeMap::new(),
            settings: Settings::default(),
        };
        for entry in entries {
            loaded.apply(entry)?;
        }
        if loaded.origin("parallelism") == Origin::Default {
            let most = u32::from(loaded.config.key_groups);
            loaded.config.parallelism = loaded.config.parallelism.min(most);
        }
        if loaded.origin("spill.dir") == Origin::Default {
            let beside = &loaded.config.checkpoint.path;
            loaded.config.spill.dir = spill_dir(beside, &sources.temp_dir);
        }
        loaded.config.settings = loaded.settings.object();
        check(&loaded)?;
        Ok(loaded)
    }
}

impl LoadedConfig {
    fn apply(&mut self, entry: Entry) -> Result<(), ConfigError> {
        let Entry { path, raw, origin } = entry;
        let name = path.join(".");
        if path[0] == "settings" && path.len() > 1 {
            if let Raw::Typed(value) = raw {
                self.settings.set(&path[1..], value, &origin);
            }
            return Ok(());
        }
        let wrong = |allowed: String| {
            let (key, found) = (name.clone(), raw.found());
            ConfigError::Value { key, origin: origin.clone(), found, allowed }
        };
        if let Some(key) = key(&name) {
            (key.set)(&mut self.config, &raw).map_err(wrong)?;
            self.origins.insert(key.name, origin);
            return Ok(());
        }
        let empty = matches!(&raw, Raw::Typed(Value::Object(_)));
        match (is_section(&name), empty) {
            (true, true) => Ok(()),
            (true, false) => Err(wrong(format!("a table: `[{name}]`"))),
            (false, _) => Err(unknown(name, origin)),
        }
    }
}

fn unknown(key: String, origin: Origin) -> ConfigError {
    let mut there: Vec<String> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    there.push("settings".to_owned());
    let own = match origin {
        Origin::Flag(_) => "are set with `--set`",
        _ => "go under `[settings]`",
    };
    let hint = format!("{} (the job's own settings {own})", hint(&key, &there));
    ConfigError::UnknownKey { key, origin, hint }
}
