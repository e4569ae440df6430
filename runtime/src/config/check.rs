//! What must hold between values, once all of them are known.

use super::Config;
use super::error::ConfigError;
use super::keys::key;
use super::load::LoadedConfig;

/// The first relation that does not hold.
pub(super) fn check(loaded: &LoadedConfig) -> Result<(), ConfigError> {
    let config = &loaded.config;
    let groups = config.key_groups;
    if !(1..=u32::from(groups)).contains(&config.parallelism) {
        return Err(ConfigError::Value {
            key: "parallelism".to_owned(),
            origin: loaded.origin("parallelism"),
            found: config.parallelism.to_string(),
            allowed: format!("a whole number from 1 to {groups}, the number of key groups"),
        });
    }
    if config.checkpoint.timeout <= config.checkpoint.interval {
        let (timeout, interval) = ("checkpoint.timeout", "checkpoint.interval");
        return Err(contradiction(loaded, timeout, "longer than", interval));
    }
    if config.restart.backoff > config.restart.backoff_max {
        let (backoff, most) = ("restart.backoff", "restart.backoff_max");
        return Err(contradiction(loaded, backoff, "at most", most));
    }
    Ok(())
}

fn contradiction(
    loaded: &LoadedConfig,
    key: &'static str,
    relation: &'static str,
    other: &'static str,
) -> ConfigError {
    let found = shown(&loaded.config, key);
    let other_found = shown(&loaded.config, other);
    let other = format!("`{other}`, which is {other_found} ({})", loaded.origin(other));
    ConfigError::Contradiction { key, origin: loaded.origin(key), found, relation, other }
}

fn shown(config: &Config, name: &str) -> String {
    key(name).map_or_else(String::new, |key| (key.get)(config).to_string())
}
