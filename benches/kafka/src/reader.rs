//! Reads what was written: committed records only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use riverrun_kafka::cluster::{Isolation, Partition};
use riverrun_kafka::connection::Connection;
use riverrun_kafka::fetch::{FetchSettings, Fetched, Fetcher};

use crate::event::{PARTITIONS, decode};
use crate::work::Tally;

/// All partitions of a topic, from their beginning.
pub(crate) struct Reader {
    fetcher: Fetcher,
    fetched: Vec<Fetched>,
}

impl Reader {
    /// Opens `topic`.
    pub(crate) fn open(address: SocketAddr, topic: &str) -> Result<Self> {
        let settings = FetchSettings {
            group: format!("reads-{topic}"),
            isolation: Isolation::Committed,
            buffer_bytes: 16 * 1024 * 1024,
            headers: false,
        };
        let mut fetcher = Fetcher::open(&Connection::new(&address.to_string()), &settings)?;
        let topic: Arc<str> = topic.into();
        let all = (0..PARTITIONS as i32)
            .map(|number| (Partition { topic: topic.clone(), number }, 0))
            .collect();
        fetcher.add(all)?;
        Ok(Reader { fetcher, fetched: Vec::new() })
    }

    /// Hands over what there is, after waiting for it a while; how many partitions said that they
    /// end here.
    pub(crate) fn read(
        &mut self,
        patience: Duration,
        mut each: impl FnMut([u64; 3]),
    ) -> Result<u32> {
        let mut ended = 0;
        self.fetcher.fetch(patience, &mut self.fetched)?;
        for fetched in self.fetched.drain(..) {
            match fetched {
                Fetched::Records { records, .. } => {
                    for record in records.iter() {
                        let value = record.value().and_then(decode);
                        each(value.context("a value that is no result")?);
                    }
                    self.fetcher.recycle(records);
                }
                Fetched::End { .. } => ended += 1,
                Fetched::Failed(error) => bail!("reading the results: {error}"),
            }
        }
        Ok(ended)
    }
}

/// All results of a topic to which nobody writes any more.
pub(crate) fn tally(address: SocketAddr, topic: &str) -> Result<Tally> {
    let (mut reader, mut tally, mut ended) = (Reader::open(address, topic)?, Tally::default(), 0);
    while ended < PARTITIONS {
        ended += reader.read(Duration::from_millis(100), |parts| tally.add(parts))?;
    }
    Ok(tally)
}
