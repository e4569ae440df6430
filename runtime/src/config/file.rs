//! The file's layer: TOML into entries, one for each value, each with its line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::load::Entry;
use super::origin::Origin;
use super::sources::FileText;
use super::value::{Raw, json_of};

/// The values of the file, by line.
pub(super) fn entries(file: &FileText) -> Result<Vec<Entry>, ConfigError> {
    let table = DeTable::parse(&file.text).map_err(|error| ConfigError::Syntax {
        origin: origin(file, error.span().map_or(0, |span| span.start)),
        reason: error.message().trim_end().replace('\n', "; "),
    })?;
    let mut found = Vec::new();
    flatten(file, &[], table.get_ref(), &mut found)?;
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, entry)| entry).collect())
}

fn flatten(
    file: &FileText,
    path: &[String],
    table: &DeTable<'_>,
    found: &mut Vec<(usize, Entry)>,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let mut path = path.to_vec();
        path.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => flatten(file, &path, inner, found)?,
            _ => found.push((name.span().start, entry(file, path, name.span().start, value)?)),
        }
    }
    Ok(())
}

fn entry(
    file: &FileText,
    path: Vec<String>,
    at: usize,
    value: &Spanned<DeValue<'_>>,
) -> Result<Entry, ConfigError> {
    let origin = origin(file, at);
    match json_of(value.get_ref()) {
        Ok(value) => Ok(Entry { path, raw: Raw::Typed(value), origin }),
        Err(allowed) => Err(ConfigError::Value {
            key: path.join("."),
            origin,
            found: file.text[value.span()].to_owned(),
            allowed,
        }),
    }
}

fn origin(file: &FileText, at: usize) -> Origin {
    let before = file.text.as_bytes().iter().take(at);
    let line = 1 + before.filter(|byte| **byte == b'\n').count();
    Origin::File { name: file.name.clone(), line }
}
