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
    name: &'static str,
    allowed: &'static str,
    other: &'static str,
) -> ConfigError {
    ConfigError::Contradiction {
        key: name,
        origin: loaded.origin(name),
        found: shown(&loaded.config, name),
        allowed,
        other,
        other_found: shown(&loaded.config, other),
        other_origin: loaded.origin(other),
    }
}

fn shown(config: &Config, name: &str) -> String {
    key(name).map_or_else(String::new, |key| (key.get)(config).to_string())
}
