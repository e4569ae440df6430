//! What can be wrong with a configuration. Every error names the place and what is allowed there.

use thiserror::Error;

use super::origin::Origin;

/// A configuration that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(
        "RR0301: cannot read the configuration {path}: {reason}; name a file that is there with \
         `--config FILE`"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// The file is not TOML.
    #[error("RR0302: {origin}: this is not TOML: {reason}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        reason: String,
    },
    /// A key that the engine does not know.
    #[error("RR0303: {origin}: there is no `{key}`; {hint}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Where.
        origin: Origin,
        /// The nearest key, or all of them.
        hint: String,
    },
    /// A value of the wrong kind, unit or range.
    #[error("RR0304: {origin}: `{key}` is {found}; it must be {allowed}")]
    Value {
        /// The key.
        key: String,
        /// Where.
        origin: Origin,
        /// The value as it was written.
        found: String,
        /// What may be written.
        allowed: String,
    },
    /// Two values that contradict each other.
    #[error("RR0305: {origin}: `{key}` is {found}; it must be {relation} {other}")]
    Contradiction {
        /// The key.
        key: &'static str,
        /// Where.
        origin: Origin,
        /// Its value.
        found: String,
        /// What must hold: `longer than`, `at most`.
        relation: &'static str,
        /// The other key, its value, and where that was set.
        other: String,
    },
    /// A flag that is not `KEY=VALUE`.
    #[error("RR0306: {flag} {text}: write `{flag} KEY=VALUE`, with dots between the parts of KEY")]
    Assignment {
        /// The flag.
        flag: &'static str,
        /// What followed it, without its value.
        text: String,
    },
}
