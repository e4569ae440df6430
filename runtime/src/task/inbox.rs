//! The channels into one subtask, and the one place that decides whose element is next: in turn,
//! skipping inputs the gate has blocked.

use std::future::poll_fn;
use std::task::Poll;

use riverrun_engine::element::Element;
use tokio::sync::mpsc;

use super::gate::Gate;

/// Batches a channel holds before its sender waits.
pub const CHANNEL_BATCHES: usize = 8;

/// The receiving ends of one subtask.
#[derive(Debug)]
pub struct Inbox {
    channels: Vec<mpsc::Receiver<Element>>,
    next: usize,
}

/// What the inbox brought.
#[derive(Debug)]
pub enum Received {
    /// From this input.
    Element(usize, Element),
    /// An upstream subtask is gone without having ended: the attempt is over.
    Lost,
}

impl Inbox {
    /// Of these channels, in the order of the gate's inputs.
    #[must_use]
    pub fn new(channels: Vec<mpsc::Receiver<Element>>) -> Self {
        Inbox { channels, next: 0 }
    }

    /// The next element of an input that is not blocked. Cancel-safe.
    pub async fn next(&mut self, gate: &Gate) -> Received {
        poll_fn(|cx| {
            let inputs = self.channels.len();
            for step in 0..inputs {
                let input = (self.next + step) % inputs;
                if gate.is_blocked(input) {
                    continue;
                }
                match self.channels[input].poll_recv(cx) {
                    Poll::Ready(Some(element)) => {
                        self.next = (input + 1) % inputs;
                        return Poll::Ready(Received::Element(input, element));
                    }
                    Poll::Ready(None) => return Poll::Ready(Received::Lost),
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Whether nothing waits in any channel.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channels.iter().all(mpsc::Receiver::is_empty)
    }
}
