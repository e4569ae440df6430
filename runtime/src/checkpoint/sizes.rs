//! How large a state is: by key group, by range of key groups, by key; and how it has grown.
//!
//! Called by [`super::inspect`] and the command line. What is counted are rows as a restore would
//! find them, not what the files hold of older ones: the bytes of a row are those of its namespace,
//! key and value.

use std::collections::BTreeMap;

use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroupRange;
use riverrun_engine::state::StateSpec;
use riverrun_engine::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::error::StoreError;
use super::run::Row;
use super::view::StateFiles;
use crate::value::Layout;

/// Into how many ranges the key groups are told.
const RANGES: u16 = 16;
/// How many of the largest keys are told.
const LARGEST: usize = 10;

/// Entries and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Rows.
    pub entries: u64,
    /// Their bytes: namespace, key and value.
    pub bytes: u64,
}

/// The rows of one state, counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// All of them.
    pub total: Size,
    /// By key group.
    pub groups: Vec<Size>,
    /// The keys with the most bytes, in all their rows together, largest first.
    pub largest: Vec<LargeKey>,
}

/// A range of key groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RangeReport {
    /// The first group.
    pub first: u16,
    /// The last group.
    pub last: u16,
    /// What lies in them.
    #[serde(flatten)]
    pub size: Size,
}

/// A key with much state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LargeKey {
    /// The key, decoded where its type is known, else hex.
    pub key: Value,
    /// What it holds, in all its rows.
    #[serde(flatten)]
    pub size: Size,
}

/// The fullest key group beside the mean of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Skew {
    /// The group with the most bytes.
    pub group: u16,
    /// What lies in it.
    #[serde(flatten)]
    pub size: Size,
    /// Its bytes as a multiple of the mean of all groups: 1 is even.
    pub times_mean: f64,
}

/// What was added since the checkpoint before; negative where there is less.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// Rows.
    pub entries: i64,
    /// Bytes.
    pub bytes: i64,
    /// Rows a minute; absent where both were taken at one moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries_per_minute: Option<f64>,
    /// Bytes a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_minute: Option<f64>,
}

impl Size {
    pub(super) fn add(&mut self, other: Size) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }

    fn of(row: &Row) -> Size {
        let bytes = row.namespace.len() + row.key.len() + row.value.len();
        Size { entries: 1, bytes: bytes as u64 }
    }

    /// What came since `before`, which was taken at another moment.
    #[must_use]
    pub fn growth(self, now: Timestamp, before: Size, then: Timestamp) -> Growth {
        let entries = self.entries.wrapping_sub(before.entries) as i64;
        let bytes = self.bytes.wrapping_sub(before.bytes) as i64;
        let minutes = (now - then).as_secs_f64() / 60.0;
        let rate = |n: i64| (minutes > 0.0).then(|| n as f64 / minutes);
        Growth { entries, bytes, entries_per_minute: rate(entries), bytes_per_minute: rate(bytes) }
    }
}

impl Measured {
    /// At most 16 ranges of as many groups each.
    #[must_use]
    pub fn ranges(&self) -> Vec<RangeReport> {
        let all = self.groups.len().max(1);
        let each = all.div_ceil(RANGES.into());
        let ranges = self.groups.chunks(each).enumerate();
        ranges
            .map(|(i, groups)| {
                let mut size = Size::default();
                groups.iter().for_each(|group| size.add(*group));
                let first = (i * each) as u16;
                RangeReport { first, last: first + groups.len() as u16 - 1, size }
            })
            .collect()
    }

    /// The fullest group; none where there is no row.
    #[must_use]
    pub fn skew(&self) -> Option<Skew> {
        let fullest = self.groups.iter().enumerate().max_by_key(|(i, size)| (size.bytes, !i));
        let (group, size) = fullest.filter(|(_, size)| size.bytes > 0)?;
        let mean = self.total.bytes as f64 / self.groups.len() as f64;
        let times_mean = size.bytes as f64 / mean;
        Some(Skew { group: group as u16, size: *size, times_mean })
    }
}

/// Counts the rows of one state. Holds the keys of one key group at a time.
///
/// # Errors
/// Damage, by file.
pub async fn measure(
    files: &StateFiles,
    uid: &Uid,
    spec: &StateSpec,
    key_groups: u16,
) -> Result<Measured, StoreError> {
    let layout = Layout::of(spec);
    let mut measured = Measured::default();
    for group in 0..key_groups {
        let one = KeyGroupRange { start: group, end: group + 1, groups: key_groups };
        let mut rows = files.rows(&uid.0, &spec.name, one);
        let mut size = Size::default();
        let mut keys = BTreeMap::<Vec<u8>, Size>::new();
        while let Some(row) = rows.next().await? {
            let row_size = Size::of(&row);
            size.add(row_size);
            let key = &row.key[..layout.key_len(&row.key)];
            match keys.get_mut(key) {
                Some(size) => size.add(row_size),
                None => drop(keys.insert(key.to_vec(), row_size)),
            }
        }
        measured.total.add(size);
        measured.groups.push(size);
        measured.keep_largest(keys, &layout);
    }
    Ok(measured)
}

impl Measured {
    fn keep_largest(&mut self, keys: BTreeMap<Vec<u8>, Size>, layout: &Layout) {
        let full = self.largest.len() == LARGEST;
        let least = self.largest.last().filter(|_| full).map_or(0, |key| key.size.bytes);
        let mut keys: Vec<_> = keys.into_iter().filter(|(_, size)| size.bytes > least).collect();
        keys.sort_by_key(|(_, size)| std::cmp::Reverse(size.bytes));
        let shown = keys.into_iter().take(LARGEST).map(|(key, size)| {
            let (key, _) = layout.show_key(&key);
            LargeKey { key, size }
        });
        self.largest.extend(shown);
        self.largest.sort_by_key(|key| std::cmp::Reverse(key.size.bytes));
        self.largest.truncate(LARGEST);
    }
}
