//! The command line: arguments, exit codes, what `check` and `graph` print, orders to a run.

mod arguments;
mod checked;
mod commands;
mod drawn;
mod graphs;
