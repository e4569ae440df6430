//! Time to live: [`Ttl`], what a user says of a state; [`Times`], how far time has come for it.
//!
//! Every value, element of a list and pair of a map of such a state is an [`Until`]: the moment it
//! ends, fixed when it is written, and the value. Both are cut, spilled, restored and dealt out
//! together, so no restore can bring back what has ended, and another time to live in the next
//! version of a job is that of what is written from then on.
//!
//! 1. The operator's caller says how far time has come ([`super::StateStore::reach`]).
//! 2. A handle asks [`Ttl::life`], once a call, and shows only what has not ended.
//! 3. The sweep (`sweep.rs`) removes what has ended, some entries a call.
//!
//! Invariants: what is shown depends on time only, never on how far the sweep has come; the times
//! never fall; nothing is removed before it has ended.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, millis_of};
use crate::timer::TimeDomain;

/// From when the time to live counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Since {
    Write,
    Read,
}

/// How long an entry of a state lives: a value, an element of a list, a pair of a map.
///
/// An entry written at `t` is there until time reaches `t` plus the time to live, and from that
/// moment on it is not. In event time (the default), `t` is the timestamp of the record or timer
/// for which it is written, or the watermark if that is later, and time is what the watermark has
/// reached: for a timer the moment it was set for. So a job that reads its input again keeps and
/// forgets the same. In processing time both are the wall clock, read once a batch.
///
/// What is written again lives longer, never shorter. Another duration in the next version of a job
/// is that of what is written from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ttl {
    since: Since,
    millis: i64,
    time: TimeDomain,
}

impl Ttl {
    /// Counts from the last write. Of a length of whole milliseconds, at least one.
    #[must_use]
    pub fn since_write(length: Duration) -> Self {
        Ttl { since: Since::Write, millis: millis_of(length).max(1), time: TimeDomain::Event }
    }

    /// Counts from the last write or read, so that a read is a write too: it changes the entry, for
    /// the next checkpoint as well. Iterating reads every element or pair there is; asking how many
    /// there are reads none.
    #[must_use]
    pub fn since_read(length: Duration) -> Self {
        Ttl { since: Since::Read, ..Ttl::since_write(length) }
    }

    /// By the watermark. The default; the step needs a clock upstream.
    #[must_use]
    pub fn event_time(self) -> Self {
        Ttl { time: TimeDomain::Event, ..self }
    }

    /// By the wall clock: what is there then depends on when the job runs.
    #[must_use]
    pub fn processing_time(self) -> Self {
        Ttl { time: TimeDomain::Processing, ..self }
    }

    /// Which clock it follows.
    #[must_use]
    pub fn time(self) -> TimeDomain {
        self.time
    }

    pub(super) fn length(self) -> Duration {
        Duration::from_millis(self.millis.unsigned_abs())
    }

    pub(super) fn is_since_read(self) -> bool {
        self.since == Since::Read
    }

    /// For a call at `at` of event time.
    pub(super) fn life(self, times: Times, at: Timestamp) -> Life {
        let now = times.of(self.time);
        let written = match self.time {
            TimeDomain::Event => now.max(at),
            TimeDomain::Processing => now,
        };
        Life { now, until: written + self.length() }
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = match self.since {
            Since::Write => "write",
            Since::Read => "read",
        };
        let time = match self.time {
            TimeDomain::Event => "event",
            TimeDomain::Processing => "processing",
        };
        write!(f, "{} ms since the last {since}, in {time} time", self.millis)
    }
}

/// How far time has come for the state of one subtask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(super) event: Timestamp,
    pub(super) processing: Timestamp,
}

impl Times {
    /// Before everything.
    pub(super) const START: Times = Times { event: Timestamp::MIN, processing: Timestamp::MIN };

    pub(super) fn of(self, domain: TimeDomain) -> Timestamp {
        match domain {
            TimeDomain::Event => self.event,
            TimeDomain::Processing => self.processing,
        }
    }
}

/// A value, and the first moment at which it is there no more.
pub(crate) type Until<V> = (Timestamp, V);

/// What one call sees, and how long what it writes is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
}

impl Life {
    /// Whether what ends at `until` is still there.
    #[inline]
    pub(super) fn sees(self, until: Timestamp) -> bool {
        self.now < until
    }

    /// The value, if it is still there.
    #[inline]
    pub(super) fn live<V>(self, held: &Until<V>) -> Option<&V> {
        self.sees(held.0).then_some(&held.1)
    }

    /// As [`Life::live`], of what was taken out.
    pub(super) fn taken<V>(self, held: Until<V>) -> Option<V> {
        self.sees(held.0).then_some(held.1)
    }

    /// What is held is written again: it lives on, or anew.
    pub(super) fn renew<V>(self, held: &mut Until<V>) {
        held.0 = held.0.max(self.until);
    }

    /// The value to be changed, the default where it has ended.
    pub(super) fn renewed<V: Default>(self, held: &mut Until<V>) -> &mut V {
        if !self.sees(held.0) {
            held.1 = V::default();
        }
        self.renew(held);
        &mut held.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{at, secs};

    #[test]
    fn a_life_begins_with_the_record_or_with_the_watermark_if_that_is_later() {
        let times = Times { event: at(100), processing: at(5000) };
        let ttl = Ttl::since_write(secs(10));
        assert_eq!(ttl.life(times, at(130)).until, at(140));
        assert_eq!(ttl.life(times, at(20)).until, at(110));
        assert_eq!(ttl.processing_time().life(times, at(130)).until, at(5010));
        assert_eq!(ttl.life(Times::START, at(130)).until, at(140), "before the first watermark");
    }

    #[test]
    fn a_moment_too_many_is_the_end() {
        let life = Life { now: at(10), until: at(20) };
        assert_eq!(life.live(&(at(10), 1)), None);
        assert_eq!(life.live(&(Timestamp::from_millis(10_001), 1)), Some(&1));
        let mut ended = (at(10), 7);
        assert_eq!((*life.renewed(&mut ended), ended.0), (0, at(20)));
        let mut later = (at(30), 7);
        assert_eq!((*life.renewed(&mut later), later.0), (7, at(30)));
    }

    #[test]
    fn it_is_kept_in_words() {
        let ttl = Ttl::since_read(secs(2)).processing_time();
        let json = serde_json::to_string(&ttl).expect("encodes");
        assert_eq!(json, r#"{"since":"read","millis":2000,"time":"processing"}"#);
        assert_eq!(serde_json::from_str::<Ttl>(&json).expect("decodes"), ttl);
        assert_eq!(ttl.to_string(), "2000 ms since the last read, in processing time");
    }
}
