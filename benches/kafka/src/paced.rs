//! A producer at a steady rate, whose events say when they were written.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, anyhow};
use riverrun_kafka::records::Records;

use crate::event::{KEYS, encode};
use crate::fill::{producer, push};

/// From batch to batch.
const TICK: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(60);

/// Microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as u64
}

/// Writes until it is stopped.
pub(crate) struct Paced {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Paced {
    /// Writes `rate` events a second; their time is that of their writing, in microseconds.
    pub(crate) fn start(address: SocketAddr, topic: &str, rate: u64) -> Result<Self> {
        let producer = producer(address, Duration::ZERO)?;
        let topic = producer.topic(&Arc::from(topic))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let (began, mut written, mut batch) = (Instant::now(), 0, Records::new());
            while !stopped.load(Ordering::Relaxed) {
                let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
                batch.clear();
                for i in written..due {
                    let key = i % KEYS;
                    push(&mut batch, key, &encode([key, now_us(), 1]));
                }
                written = due;
                let mut sent = 0;
                while sent < batch.len() {
                    sent += topic.send(&batch, sent)?;
                }
                std::thread::sleep(TICK);
            }
            producer.flush(LIMIT)?;
            Ok(written)
        });
        Ok(Paced { stop, thread })
    }

    /// Ends it; how many events were written, all of them durably.
    pub(crate) fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the producer panicked"))?
    }
}
