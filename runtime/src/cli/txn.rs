//! `txn`: what a job that is gone has left open in the systems it writes to. A job that comes back
//! cleans up by itself; this is for those that never do.

use riverrun_engine::graph::Graph;

use super::args::TxnOrder;
use super::error::CliError;
use super::{Context, Exit, online, out};
use crate::checkpoint::LockInfo;
use crate::config::Config;

/// Carries out an order.
pub(super) fn txn(context: &Context<'_>, order: &TxnOrder) -> Result<Exit, CliError> {
    let config = context.config()?.config;
    let graph = context.graph(&config)?;
    match order {
        TxnOrder::Ls => ls(context.job, &graph, &config),
        TxnOrder::Abort => abort(context.job, &graph, &config),
    }
}

fn ls(job: &str, graph: &Graph, config: &Config) -> Result<Exit, CliError> {
    let mut held = Vec::new();
    for (uid, mut outside) in online::all(graph, &online::about(job, config)) {
        let found = outside.held_back().map_err(|error| CliError::Asking { uid, error })?;
        held.extend(found);
    }
    held.sort_by(|a, b| a.place.cmp(&b.place));
    held.dedup();
    if held.is_empty() {
        out::print("nothing is held back: no transaction is open where the job writes\n")?;
        return Ok(Exit::Done);
    }
    let running = LockInfo::read(&config.checkpoint.path)?;
    for held in &held {
        out::print(&format!("{held}\n"))?;
    }
    out::tell(match running {
        Some(_) => {
            "the job runs: between its checkpoints this is as it should be. What is open may also \
             be another job's"
        }
        None => {
            "readers of committed records wait until these are decided: by the next `run` of the \
             job, by their timeout, or now by `txn abort`. What is open may also be another job's"
        }
    });
    Ok(Exit::Done)
}

fn abort(job: &str, graph: &Graph, config: &Config) -> Result<Exit, CliError> {
    if let Some(holder) = LockInfo::read(&config.checkpoint.path)? {
        return Err(CliError::Runs { pid: holder.pid });
    }
    let mut ids = Vec::new();
    for (uid, mut outside) in online::all(graph, &online::about(job, config)) {
        ids.extend(outside.abort().map_err(|error| CliError::Asking { uid, error })?);
    }
    ids.sort();
    ids.dedup();
    match ids.is_empty() {
        true => out::print("no sink of this job writes in transactions\n")?,
        false => out::print(&format!(
            "whatever was open by {} is aborted; what the job has not committed the next `run` \
             writes again\n",
            ids.join(", ")
        ))?,
    }
    Ok(Exit::Done)
}
