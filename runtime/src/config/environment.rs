//! The layers of environment and flags: `RIVERRUN_CHECKPOINT__INTERVAL=100ms`, `--conf`, `--set`.

use super::error::ConfigError;
use super::hint::hint;
use super::keys::KEYS;
use super::load::Entry;
use super::origin::Origin;
use super::sources::{Flags, PREFIX};
use super::value::{Raw, typed};

/// What the variables say. Two underscores stand for a dot. A setting's name in capitals is
/// lowered: the fields of a settings struct are in snake case.
pub(super) fn variables(environment: &[(String, String)]) -> Result<Vec<Entry>, ConfigError> {
    environment.iter().map(|(name, value)| variable(name, value)).collect()
}

fn variable(name: &str, value: &str) -> Result<Entry, ConfigError> {
    let origin = Origin::Environment(name.to_owned());
    if let Some(key) = KEYS.iter().find(|key| key.variable() == name) {
        let path = key.name.split('.').map(str::to_owned).collect();
        return Ok(Entry { path, raw: Raw::Text(value.to_owned()), origin });
    }
    let unknown = || {
        let mut there: Vec<String> = KEYS.iter().map(|key| key.variable()).collect();
        there.push(format!("{PREFIX}SETTINGS__<NAME>"));
        let (key, hint) = (name.to_owned(), hint(name, &there));
        ConfigError::UnknownKey { key, origin: origin.clone(), hint }
    };
    let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix("SETTINGS__"));
    let rest = rest.filter(|rest| rest.split("__").all(|part| !part.is_empty()));
    let rest = rest.ok_or_else(unknown)?;
    let capitals = !rest.contains(|c: char| c.is_lowercase());
    let rest = if capitals { rest.to_lowercase() } else { rest.to_owned() };
    let mut path = vec!["settings".to_owned()];
    path.extend(rest.split("__").map(str::to_owned));
    setting(path, value, origin)
}

/// What the flags say.
pub(super) fn flags(flags: &Flags) -> Result<Vec<Entry>, ConfigError> {
    let mut found = Vec::new();
    for text in &flags.conf {
        let (path, value) = assignment("--conf", text)?;
        let origin = Origin::Flag(format!("--conf {}", path.join(".")));
        found.push(if path[0] == "settings" && path.len() > 1 {
            setting(path, value, origin)?
        } else {
            Entry { path, raw: Raw::Text(value.to_owned()), origin }
        });
    }
    for text in &flags.settings {
        let (mut path, value) = assignment("--set", text)?;
        let origin = Origin::Flag(format!("--set {}", path.join(".")));
        path.insert(0, "settings".to_owned());
        found.push(setting(path, value, origin)?);
    }
    if let Some(value) = &flags.parallelism {
        let origin = Origin::Flag("--parallelism".to_owned());
        let (path, raw) = (vec!["parallelism".to_owned()], Raw::Text(value.clone()));
        found.push(Entry { path, raw, origin });
    }
    Ok(found)
}

fn setting(path: Vec<String>, value: &str, origin: Origin) -> Result<Entry, ConfigError> {
    match typed(value) {
        Ok(value) => Ok(Entry { path, raw: Raw::Typed(value), origin }),
        Err(allowed) => {
            let (key, found) = (path.join("."), "not readable".to_owned());
            Err(ConfigError::Value { key, origin, found, allowed })
        }
    }
}

/// The path and the value; the value stays out of the error: it may be secret.
fn assignment<'a>(
    flag: &'static str,
    text: &'a str,
) -> Result<(Vec<String>, &'a str), ConfigError> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let path: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) || !text.contains('=') {
        return Err(ConfigError::Assignment { flag, text: key.to_owned() });
    }
    Ok((path, value))
}
