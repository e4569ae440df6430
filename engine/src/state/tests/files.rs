//! Snapshots as files that are read later: the plain twin of what the runtime has behind
//! [`StoredRows`], and of its merges.

use std::collections::{BTreeMap, VecDeque};

use crate::checkpoint::{CheckpointId, Section, StateSnapshot};
use crate::key::{KeyGroup, KeyGroupRange};
use crate::operator::Result;
use crate::state::entry::{self, Entry, Op};
use crate::state::stored::{StoredPage, StoredRows, Wait};

/// The live rows of snapshots, as a merge writes them: each once, rising by namespace and key.
pub(super) fn merged(snapshots: &[StateSnapshot]) -> Vec<StateSnapshot> {
    type Rows = BTreeMap<(Vec<u8>, Vec<u8>), Vec<u8>>;
    let mut states: BTreeMap<&str, BTreeMap<KeyGroup, Rows>> = BTreeMap::new();
    for snapshot in snapshots {
        for section in &snapshot.sections {
            let groups = states.entry(&snapshot.state).or_default();
            let rows = groups.entry(section.group).or_default();
            let mut rest = &section.bytes[..];
            while let Some(Entry { op, namespace, key, value }) =
                entry::read(&mut rest).expect("entries")
            {
                match op {
                    Op::Put => {
                        rows.insert((namespace.to_vec(), key.to_vec()), value.to_vec());
                    }
                    Op::Delete => {
                        rows.retain(|(other, row), _| other != namespace || !row.starts_with(key))
                    }
                    Op::Drop => rows.retain(|(other, _), _| other != namespace),
                }
            }
        }
    }
    let section = |(group, rows): (KeyGroup, Rows)| {
        let (entries, mut bytes) = (rows.len() as u64, Vec::new());
        for ((namespace, key), value) in &rows {
            let row = Entry { op: Op::Put, namespace, key, value };
            entry::write(&mut bytes, row).expect("short");
        }
        Section { group, entries, bytes: bytes.into() }
    };
    let state = |(state, groups): (&str, BTreeMap<KeyGroup, Rows>)| StateSnapshot {
        state: state.to_owned(),
        sections: groups.into_iter().map(section).collect(),
        turnover: None,
    };
    states.into_iter().map(state).collect()
}

/// The rows of one state in the key groups of a subtask.
pub(super) struct PlainFiles {
    checkpoint: CheckpointId,
    rows: BTreeMap<(KeyGroup, Vec<u8>), Vec<u8>>,
    pages: VecDeque<StoredPage>,
    /// Whether the next page is at hand: every other time that it is asked for.
    at_hand: bool,
    page_rows: usize,
}

/// By row: its values, the newest first, none of before it was deleted.
type Versions = BTreeMap<(KeyGroup, Vec<u8>), VecDeque<Vec<u8>>>;

impl PlainFiles {
    /// Of `state` in `snapshots`, one after the other, the last of which is checkpoint number so,
    /// in pages of so many rows.
    pub(super) fn of(
        (snapshots, checkpoint): (&[StateSnapshot], u64),
        (state, range): (&str, KeyGroupRange),
        page_rows: usize,
    ) -> Self {
        let mut versions = Versions::new();
        let own = snapshots.iter().filter(|snapshot| snapshot.state == state);
        let sections = own.flat_map(|snapshot| &snapshot.sections);
        for section in sections.filter(|section| range.contains(section.group)) {
            let mut rest = &section.bytes[..];
            while let Some(entry) = entry::read(&mut rest).expect("entries") {
                let of = (section.group, entry.key.to_vec());
                match entry.op {
                    Op::Put => {
                        versions.entry(of).or_default().push_front(entry.value.to_vec());
                    }
                    Op::Delete => versions.retain(|(group, row), _| {
                        *group != section.group || !row.starts_with(entry.key)
                    }),
                    Op::Drop => panic!("it has no namespaces"),
                }
            }
        }
        let mut pages = VecDeque::new();
        for group in range.iter().map(KeyGroup) {
            let of_group = || versions.iter().filter(move |((own, _), _)| *own == group);
            let newest = of_group().map(|((_, key), values)| (key, &values[0]));
            // What a newer layer holds comes again from older ones; not of collections.
            let older = of_group().filter(|_| state.starts_with("value"));
            let older = older.flat_map(|((_, key), values)| {
                values.iter().skip(1).map(move |value| (key, value))
            });
            for rows in [newest.collect::<Vec<_>>(), older.collect()] {
                for page in rows.chunks(page_rows) {
                    pages.push_back(StoredPage::Rows(group, entries(page)));
                }
            }
            pages.push_back(StoredPage::Whole(group));
        }
        let rows = versions.into_iter().map(|(of, mut values)| {
            let newest = values.pop_front().expect("has one");
            (of, newest)
        });
        let checkpoint = CheckpointId(checkpoint);
        PlainFiles { checkpoint, rows: rows.collect(), pages, at_hand: false, page_rows }
    }
}

fn entries(rows: &[(&Vec<u8>, &Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in rows {
        let row = Entry { op: Op::Put, namespace: &[], key, value };
        entry::write(&mut bytes, row).expect("short");
    }
    bytes
}

impl StoredRows for PlainFiles {
    fn checkpoint(&self) -> CheckpointId {
        self.checkpoint
    }

    fn rows(&self) -> u64 {
        self.rows.len() as u64
    }

    fn bytes(&self) -> usize {
        0
    }

    fn read(&mut self, keys: &[(KeyGroup, &[u8])]) -> Result<Vec<Option<Vec<u8>>>> {
        let row =
            |(group, key): &(KeyGroup, &[u8])| self.rows.get(&(*group, key.to_vec())).cloned();
        Ok(keys.iter().map(row).collect())
    }

    fn read_part(
        &mut self,
        (group, key): (KeyGroup, &[u8]),
        after: Option<&[u8]>,
    ) -> Result<Vec<u8>> {
        let rows = self.rows.range((group, key.to_vec())..);
        let rows = rows.take_while(|((own, row), _)| *own == group && row.starts_with(key));
        let rows = rows.filter(|((_, row), _)| after.is_none_or(|after| &row[..] > after));
        let rows = rows.take(self.page_rows).map(|((_, row), value)| (row, value));
        Ok(entries(&rows.collect::<Vec<_>>()))
    }

    fn page(&mut self, wait: Wait) -> Result<StoredPage> {
        self.at_hand = wait == Wait::Yes || !self.at_hand;
        if !self.at_hand {
            return Ok(StoredPage::Later);
        }
        Ok(self.pages.pop_front().unwrap_or(StoredPage::End))
    }
}
