//! `config show`: the configuration as TOML that could be a `job.toml`, secrets masked, each value
//! with its origin where that was asked for.

use std::fmt::Write as _;

use serde_json::Value;

use super::keys::KEYS;
use super::load::LoadedConfig;
use super::origin::Origin;
use super::secret::shown;

impl LoadedConfig {
    /// The configuration as TOML; with `origins` a comment behind each value says who set it.
    #[must_use]
    pub fn show(&self, origins: bool) -> String {
        let mut lines = Vec::new();
        let mut section = "";
        for key in &KEYS {
            let (inside, name) = key.name.split_once('.').unwrap_or(("", key.name));
            if inside != section {
                section = inside;
                lines.push((String::new(), None));
                lines.push((format!("[{section}]"), None));
            }
            let value = shown(&[], &(key.get)(&self.config));
            lines.push((format!("{name} = {}", toml_of(&value)), Some(self.origin(key.name))));
        }
        let leaves = self.settings.leaves();
        if !leaves.is_empty() {
            lines.push((String::new(), None));
            lines.push(("[settings]".to_owned(), None));
        }
        for leaf in leaves {
            let name: Vec<String> = leaf.path.iter().map(|part| quoted(part)).collect();
            let value = toml_of(&shown(&leaf.path, &leaf.value));
            lines.push((format!("{} = {value}", name.join(".")), Some(leaf.origin.clone())));
        }
        joined(&lines, origins)
    }
}

fn joined(lines: &[(String, Option<Origin>)], origins: bool) -> String {
    let valued = lines.iter().filter(|(_, origin)| origin.is_some());
    let width = valued.map(|(text, _)| text.chars().count()).max().unwrap_or(0).min(60);
    let mut out = String::new();
    for (text, origin) in lines {
        match origin.as_ref().filter(|_| origins) {
            Some(origin) => _ = writeln!(out, "{text:width$}  # {origin}"),
            None => _ = writeln!(out, "{text}"),
        }
    }
    out
}

fn quoted(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { text_of(name) }
}

/// A TOML basic string: JSON's escapes are all TOML's too, but DEL must be escaped.
fn text_of(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn toml_of(value: &Value) -> String {
    match value {
        Value::String(text) => text_of(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_of).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let field =
                |(name, value): (&String, &Value)| format!("{} = {}", quoted(name), toml_of(value));
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        other => other.to_string(),
    }
}
