//! Logs: `tracing` events as text or JSON lines on standard error, above the live block where there
//! is one. Called once, by the command `run`, before anything logs.

use std::io::{self, IsTerminal as _};

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogConfig, LogFormat};
use crate::live::Screen;

/// Logs that cannot be written as asked.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LogError {
    /// No filter.
    #[error("RR0320: `log.level` is \"{level}\", which is no filter: {reason}")]
    Level {
        /// As configured.
        level: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Begins to log. A program that logs already, such as a test with two jobs, keeps its way.
///
/// # Errors
/// A level that is none.
pub fn start(config: &LogConfig, screen: Option<&Screen>) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(&config.level).map_err(|error| LogError::Level {
        level: config.level.clone(),
        reason: error.to_string(),
    })?;
    let writer = match screen {
        Some(screen) => BoxMakeWriter::new(screen.clone()),
        None => BoxMakeWriter::new(io::stderr),
    };
    let coloured = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let started = match config.format {
        LogFormat::Text => logs.with_ansi(coloured).with_target(false).finish().try_init(),
        LogFormat::Json => logs.json().flatten_event(true).finish().try_init(),
    };
    // The only failure is a subscriber that is there already.
    drop(started);
    Ok(())
}
