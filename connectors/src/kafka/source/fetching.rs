//! The loop of the thread that fetches for one subtask: follow orders, fetch, bring.
//!
//! It ends when its reader is gone: within one short fetch, and the time the client takes to close.

use std::time::Duration;

use riverrun_kafka::connection::Connection;
use riverrun_kafka::fetch::{FetchError, FetchSettings, Fetcher};

use super::handover::{Back, Order};

/// How long one fetch waits for something: as long may an order have to wait.
const PATIENCE: Duration = Duration::from_millis(50);

pub(super) fn run(connection: &Connection, settings: &FetchSettings, back: &Back) {
    let opened = Fetcher::open(connection, settings).map_err(FetchError::from);
    let ended = opened.and_then(|mut fetcher| fetch_all(&mut fetcher, back));
    if let Err(error) = ended {
        back.bring([Err(error)]);
    }
}

fn fetch_all(fetcher: &mut Fetcher, back: &Back) -> Result<(), FetchError> {
    let mut fetched = Vec::new();
    while let Some(orders) = back.wait() {
        follow(fetcher, orders)?;
        if back.may_fetch() {
            fetcher.fetch(PATIENCE, &mut fetched)?;
            back.bring(fetched.drain(..).map(Ok));
        }
    }
    Ok(())
}

fn follow(fetcher: &mut Fetcher, orders: Vec<Order>) -> Result<(), FetchError> {
    let mut added = Vec::new();
    for order in orders {
        match order {
            Order::Add(partition, offset) => added.push((partition, offset)),
            Order::Recycle(records) => fetcher.recycle(records),
            Order::Commit(offsets) => fetcher.commit(&offsets),
            // One that is added by the same orders must be known first.
            Order::Remove(partition) => {
                add(fetcher, &mut added)?;
                fetcher.remove(partition)?;
            }
        }
    }
    add(fetcher, &mut added)
}

fn add(
    fetcher: &mut Fetcher,
    added: &mut Vec<(riverrun_kafka::cluster::Partition, i64)>,
) -> Result<(), FetchError> {
    match added.is_empty() {
        true => Ok(()),
        false => fetcher.add(std::mem::take(added)),
    }
}
