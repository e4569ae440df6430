//! The session operator: windows made by the records, which grow and fuse.
//!
//! A record at `t` is a session `[t, t + gap)`; sessions of a key that overlap or touch are one.
//! Per key a small sorted list of open sessions is kept, and for each session one timer. A timer is
//! set at the session's end when it begins, and again only when it fires and the end has moved
//! since: a record that lengthens a session costs one look-up and no timer.
//!
//! A record is late when it touches no open session and its own would be over. Invariants: between
//! two calls every session ends after the watermark; a key's sessions neither overlap nor touch; no
//! two of them have their timer at one moment; a key without sessions has no entry.

use riverrun_engine::Result;
use riverrun_engine::data::{Data, Key, Rmp};
use riverrun_engine::element::Batch;
use riverrun_engine::key::KeyHash;
use riverrun_engine::operator::{Firing, Operator, OperatorContext};
use riverrun_engine::planted;
use riverrun_engine::state::{Declare, Slot, Table};
use riverrun_engine::time::{Timestamp, Window};
use riverrun_engine::timer::Timers;
use serde::{Deserialize, Serialize};

use super::late::Late;
use super::{Aggregate, Windowed, emit};

/// How many timers one call fires.
const TIMERS_PER_CALL: usize = 1024;

/// An open session of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionEntry<A> {
    /// Its first record.
    start: Timestamp,
    /// Its last record and the gap.
    end: Timestamp,
    /// When its timer fires: never after `end`.
    timer: Timestamp,
    /// What its records made.
    value: A,
}

/// A timer to be set or deleted once the batch is in.
struct TimerChange<K> {
    at: Timestamp,
    hash: KeyHash,
    key: K,
    set: bool,
}

/// Keeps the open sessions of every key.
pub(crate) struct SessionOperator<K, T, A> {
    gap: i64,
    late: Late<T>,
    sessions: Slot<Table<K, Vec<SessionEntry<A>>>>,
    timers: Timers<K>,
    changes: Vec<TimerChange<K>>,
}

impl<K: Key, T: Data, A: Aggregate<T>> SessionOperator<K, T, A> {
    /// `gap` in milliseconds, at least 1.
    pub(crate) fn open(declare: &mut Declare<K>, gap: i64, late: Late<T>) -> Self {
        SessionOperator {
            gap,
            late,
            sessions: declare.table("sessions", Rmp),
            timers: declare.timers(),
            changes: Vec::new(),
        }
    }
}

impl<K: Key, T: Data, A: Aggregate<T>> Operator for SessionOperator<K, T, A> {
    type In = (K, T);
    type Out = Windowed<K, A>;

    fn process(
        &mut self,
        batch: Batch<(K, T)>,
        ctx: &mut OperatorContext<'_, Self::Out>,
    ) -> Result<()> {
        let watermark = ctx.watermark();
        let table = ctx.state.get_mut(self.sessions);
        let keys = batch.items.iter().map(|(key, _)| key);
        table.prefetch(batch.hashes.iter().copied().zip(keys))?;
        let records = batch.items.iter().zip(&batch.timestamps).zip(&batch.hashes);
        for (((key, item), at), hash) in records {
            let own = Window::new(*at, Timestamp::from(at.as_millis().saturating_add(self.gap)));
            let sessions = if own.is_over(watermark) {
                // Only an open session can still take it, and a late record must not make one.
                let open = table.get_mut(*hash, key)?;
                let Some(open) = open.filter(|open| !touched(open, own).is_empty()) else {
                    let late = std::iter::once((item, *at));
                    self.late.take(late, ctx.output, ctx.metrics);
                    if planted!("session.late.ends.batch") {
                        break;
                    }
                    continue;
                };
                open
            } else {
                table.or_insert_with(*hash, key, Vec::new)?
            };
            insert(sessions, own, item, |at, set| {
                self.changes.push(TimerChange { at, hash: *hash, key: key.clone(), set });
            });
        }
        let timers = ctx.state.get_mut(self.timers.event);
        for TimerChange { at, hash, key, set } in self.changes.drain(..) {
            if set { timers.set(at, hash, &key)? } else { timers.delete(at, hash, &key)? }
        }
        Ok(())
    }

    fn advance(&mut self, ctx: &mut OperatorContext<'_, Self::Out>) -> Result<Firing> {
        let watermark = ctx.watermark();
        for _ in 0..TIMERS_PER_CALL {
            let timers = ctx.state.get_mut(self.timers.event);
            let Some((at, key, hash)) = timers.pop_due(watermark)? else { return Ok(Firing::Done) };
            let table = ctx.state.get_mut(self.sessions);
            let Some(sessions) = table.get_mut(hash, &key)? else { continue };
            let Some(found) = sessions.iter().position(|s| s.timer == at) else { continue };
            let end = sessions[found].end;
            if end > at {
                // It grew since. Its turn comes in the order of ends, even if it is over already.
                sessions[found].timer = end;
                ctx.state.get_mut(self.timers.event).set(end, hash, &key)?;
                continue;
            }
            let session = sessions.remove(found);
            if sessions.is_empty() {
                table.remove(hash, &key)?;
            }
            emit(ctx.output, key, Window::new(session.start, end), session.value);
        }
        Ok(Firing::More)
    }
}

/// The places of the sessions that overlap or touch `own`: records a gap apart are together.
fn touched<A>(sessions: &[SessionEntry<A>], own: Window) -> std::ops::Range<usize> {
    let first = sessions.partition_point(|session| session.end < own.start);
    let touching = |session: &&SessionEntry<A>| session.start <= own.end;
    first..first + sessions[first..].iter().take_while(touching).count()
}

/// Adds a record that spans `own`; tells `timer` which timers to set (`true`) or delete.
fn insert<T, A: Aggregate<T>>(
    sessions: &mut Vec<SessionEntry<A>>,
    own: Window,
    item: &T,
    mut timer: impl FnMut(Timestamp, bool),
) {
    let touched = touched(sessions, own);
    let first = touched.start;
    if touched.is_empty() {
        let mut value = A::default();
        value.add(item);
        let Window { start, end } = own;
        sessions.insert(first, SessionEntry { start, end, timer: end, value });
        return timer(end, true);
    }
    let session = &mut sessions[first];
    session.start = session.start.min(own.start);
    session.end = session.end.max(own.end);
    session.value.add(item);
    if touched.len() == 1 {
        return;
    }
    let fused: Vec<_> = sessions.drain(first + 1..touched.end).collect();
    let session = &mut sessions[first];
    for later in fused {
        session.end = session.end.max(later.end);
        if !planted!("session.merge.lost") {
            session.value.merge(later.value);
        }
        timer(session.timer.min(later.timer), false);
        session.timer = session.timer.max(later.timer);
    }
}
