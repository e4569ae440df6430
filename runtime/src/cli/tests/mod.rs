//! The command line: arguments, exit codes, what `check` and `graph` print, what `state` finds,
//! orders to a run.

mod arguments;
mod checked;
mod commands;
mod drawn;
mod graphs;
pub(super) mod held;
#[allow(clippy::disallowed_methods, reason = "damages a file of its own")]
mod looked;
mod outside;
