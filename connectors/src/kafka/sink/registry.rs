//! The gateways of this process: how the writers of an attempt find the one they share.
//!
//! A job may describe one cluster twice; its sinks still share one transaction. Entries are as many
//! as gateways in use: dead ones are removed at each look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_kafka::connection::Connection;

use super::gateway::Gateway;
use super::memory::Memory;

/// An attempt's name, and a cluster's brokers.
type Name = (Arc<str>, String);

static GATEWAYS: Mutex<BTreeMap<Name, Weak<Gateway>>> = Mutex::new(BTreeMap::new());

/// The gateway of the attempt to the cluster; the first to ask makes it.
///
/// # Errors
/// Two sinks that describe one cluster differently.
pub(super) fn gateway(
    ctx: &TaskContext,
    connection: &Connection,
    timeout: Duration,
    memory: Arc<Memory>,
) -> Result<Arc<Gateway>> {
    let mut gateways = GATEWAYS.lock().unwrap_or_else(PoisonError::into_inner);
    gateways.retain(|_, gateway| gateway.strong_count() > 0);
    let name = (ctx.attempt.clone(), connection.brokers().to_owned());
    if let Some(gateway) = gateways.get(&name).and_then(Weak::upgrade) {
        anyhow::ensure!(
            gateway.connection == *connection && gateway.timeout == timeout,
            "RR0755: sinks of this job describe the Kafka cluster {} differently, but share one \
             transaction there: make one `Kafka` value and use it for all, with one \
             `transaction_timeout`",
            connection.brokers()
        );
        return Ok(gateway);
    }
    let made = Gateway::new(ctx.clone(), connection.clone(), timeout, memory);
    let gateway = Arc::new(made);
    gateways.insert(name, Arc::downgrade(&gateway));
    Ok(gateway)
}
