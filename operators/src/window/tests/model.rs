//! The plain twins: every record in every one of its windows, without slices, timers or cleverness.

use std::collections::BTreeMap;

use super::driver::{Record, Row};

const MIN: i128 = i64::MIN as i128;
const MAX: i128 = i64::MAX as i128;

fn over(end: i128, watermark: i64) -> bool {
    end.min(MAX) <= i128::from(watermark)
}

fn row(key: u64, start: i128, end: i128, items: Vec<i64>) -> Row<Vec<i64>> {
    (key, start.max(MIN) as i64, end.min(MAX) as i64, items)
}

/// What a window operator must answer. Items come in the order of arrival.
pub(super) trait Model: Clone {
    fn add(&mut self, record: Record);
    fn watermark(&mut self, at: i64) -> Vec<Row<Vec<i64>>>;
    fn late(&self) -> u64;
}

/// Windows of a size, every step.
#[derive(Clone, Debug)]
pub(super) struct GridModel {
    size: i128,
    step: i128,
    offset: i128,
    open: BTreeMap<(i128, u64), Vec<i64>>,
    watermark: i64,
    late: u64,
}

impl GridModel {
    pub(super) fn new(size: i64, step: i64, offset: i64) -> Self {
        let (size, step, offset) = (size.into(), step.into(), offset.into());
        GridModel { size, step, offset, open: BTreeMap::new(), watermark: i64::MIN, late: 0 }
    }

    fn last_start(&self, at: i128) -> i128 {
        at - (at - self.offset).rem_euclid(self.step)
    }
}

impl Model for GridModel {
    fn add(&mut self, (key, item, at): Record) {
        let at = i128::from(at);
        let mut start = self.last_start(at);
        let mut late = true;
        while start + self.size > at && start >= self.last_start(MIN) {
            if !over(start + self.size, self.watermark) {
                late = false;
                self.open.entry((start + self.size, key)).or_default().push(item);
            }
            start -= self.step;
        }
        self.late += u64::from(late);
    }

    fn watermark(&mut self, at: i64) -> Vec<Row<Vec<i64>>> {
        self.watermark = at;
        let open = std::mem::take(&mut self.open);
        let (fired, open) = open.into_iter().partition(|((end, _), _)| over(*end, at));
        self.open = open;
        let fired: BTreeMap<(i128, u64), Vec<i64>> = fired;
        let fired = fired.into_iter();
        fired.map(|((end, key), items)| row(key, end - self.size, end, items)).collect()
    }

    fn late(&self) -> u64 {
        self.late
    }
}

/// Sessions: the records of a key, sorted, cut where more than the gap lies between two.
#[derive(Clone, Debug)]
pub(super) struct SessionModel {
    gap: i128,
    open: BTreeMap<u64, Vec<(i128, i64)>>,
    watermark: i64,
    late: u64,
}

impl SessionModel {
    pub(super) fn new(gap: i64) -> Self {
        SessionModel { gap: gap.into(), open: BTreeMap::new(), watermark: i64::MIN, late: 0 }
    }

    fn sessions(&self, key: u64) -> Vec<Vec<(i128, i64)>> {
        let mut records = self.open.get(&key).cloned().unwrap_or_default();
        records.sort_by_key(|(at, _)| *at);
        let cut = records.chunk_by(|(a, _), (b, _)| b - a <= self.gap);
        cut.map(<[_]>::to_vec).collect()
    }

    fn end(&self, session: &[(i128, i64)]) -> i128 {
        session.last().expect("no session is empty").0 + self.gap
    }
}

impl Model for SessionModel {
    fn add(&mut self, (key, item, at): Record) {
        let record = (i128::from(at), item);
        self.open.entry(key).or_default().push(record);
        let sessions = self.sessions(key);
        let own = sessions.iter().find(|s| s.contains(&record)).expect("it was added");
        if over(self.end(own), self.watermark) {
            self.late += 1;
            self.open.get_mut(&key).expect("it was added").pop();
        }
    }

    fn watermark(&mut self, at: i64) -> Vec<Row<Vec<i64>>> {
        self.watermark = at;
        let mut rows = Vec::new();
        for key in self.open.keys().copied().collect::<Vec<_>>() {
            let (over, open): (Vec<_>, Vec<_>) =
                self.sessions(key).into_iter().partition(|s| over(self.end(s), at));
            for session in over {
                let items = session.iter().map(|(_, item)| *item).collect();
                rows.push(row(key, session[0].0, self.end(&session), items));
            }
            self.open.insert(key, open.concat());
        }
        rows
    }

    fn late(&self) -> u64 {
        self.late
    }
}
