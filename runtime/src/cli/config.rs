//! `config show`.

use super::args::ConfigOrder;
use super::error::CliError;
use super::{Context, Exit, out};

/// Prints the configuration.
pub(super) fn config(context: &Context<'_>, order: &ConfigOrder) -> Result<Exit, CliError> {
    let ConfigOrder::Show { origin } = order;
    out::print(&context.config()?.show(*origin))?;
    Ok(Exit::Done)
}
