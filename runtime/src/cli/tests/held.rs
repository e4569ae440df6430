//! Small checkpoints with state of every kind, written into a folder.

use std::collections::BTreeMap;

use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind, Section, SnapshotMode};
use riverrun_engine::data::{Data, Key, to_bytes};
use riverrun_engine::graph::Uid;
use riverrun_engine::key;
use riverrun_engine::state::entry::{self, Entry, Op};
use riverrun_engine::state::{StateKind, StateSpec, TypeShape};
use riverrun_engine::time::at;
use serde::{Deserialize, Serialize};

use crate::checkpoint::testing::finished;
use crate::checkpoint::{CheckpointStore, Manifest, OperatorEntry, SegmentWriter};
use crate::cli::args::{Arguments, Order, StateOrder};
use crate::cli::state::Opened;
use crate::cli::wait_for;
use clap::Parser as _;

pub(in crate::cli) const GROUPS: u16 = 128;

/// A key with parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct User {
    pub(in crate::cli) country: String,
    pub(in crate::cli) id: u64,
}

/// A plain struct.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::cli) struct Spend {
    pub(in crate::cli) count: u64,
    pub(in crate::cli) cents: i64,
    pub(in crate::cli) mean: Option<f64>,
    pub(in crate::cli) name: String,
    pub(in crate::cli) open: bool,
}

/// State, what is done, namespace, key and value.
type Change = (&'static str, Op, Vec<u8>, Vec<u8>, Vec<u8>);

/// The rows of one checkpoint, in the order in which they were written.
#[derive(Default)]
pub(in crate::cli) struct Held {
    rows: Vec<Change>,
}

pub(in crate::cli) fn encoded(key: &impl Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    key::encode(key, &mut bytes).expect("a key");
    bytes
}

fn spec<K: Key, V: Data>(name: &str, kind: StateKind) -> StateSpec {
    StateSpec {
        name: name.to_owned(),
        kind,
        codec: "rmp-named".to_owned(),
        key: TypeShape::of::<K>(),
        map_key: None,
        value: TypeShape::of::<V>(),
        ttl: None,
        migrates_from: Vec::new(),
    }
}

/// The states of operator `spend`.
fn specs() -> Vec<StateSpec> {
    let mut own = spec::<u64, u64>("own", StateKind::Value);
    own.codec = "mine".to_owned();
    vec![
        spec::<User, Spend>("total", StateKind::Value),
        spec::<String, u64>("per-minute", StateKind::Sliced),
        spec::<String, ()>("#event-timers", StateKind::Timers),
        spec::<u64, String>("tags", StateKind::List),
        StateSpec {
            map_key: Some(TypeShape::of::<u32>()),
            ..spec::<u64, i64>("by-day", StateKind::Map)
        },
        own,
        spec::<i64, u64>("nothing", StateKind::Value),
    ]
}

impl Held {
    pub(in crate::cli) fn put(
        mut self,
        state: &'static str,
        key: &impl Key,
        value: &impl Data,
    ) -> Self {
        let value = to_bytes(value).expect("a value");
        self.rows.push((state, Op::Put, Vec::new(), encoded(key), value));
        self
    }

    pub(in crate::cli) fn put_at(
        mut self,
        state: &'static str,
        namespace: i64,
        key: &impl Key,
        value: &[u8],
    ) -> Self {
        let namespace = namespace.to_be_bytes().to_vec();
        self.rows.push((state, Op::Put, namespace, encoded(key), value.to_vec()));
        self
    }

    pub(in crate::cli) fn put_row(
        mut self,
        state: &'static str,
        key: &[u8],
        row: &[u8],
        value: &[u8],
    ) -> Self {
        let row = [key, row].concat();
        self.rows.push((state, Op::Put, Vec::new(), row, value.to_vec()));
        self
    }

    pub(in crate::cli) fn delete(mut self, state: &'static str, key: &impl Key) -> Self {
        self.rows.push((state, Op::Delete, Vec::new(), encoded(key), Vec::new()));
        self
    }

    fn segment(&self) -> (Vec<u8>, u64) {
        let mut sections = BTreeMap::<_, (u64, Vec<u8>)>::new();
        for (state, op, namespace, key, value) in &self.rows {
            // A row of a collection lies where its key does: eight bytes in these states.
            let own = if matches!(*state, "tags" | "by-day") { &key[..8] } else { &key[..] };
            let group = key::hash_bytes(own).group(GROUPS);
            let (entries, bytes) = sections.entry((*state, group)).or_default();
            *entries += 1;
            let entry = Entry { op: *op, namespace, key, value };
            entry::write(bytes, entry).expect("short");
        }
        let mut writer = SegmentWriter::new();
        for ((state, group), (entries, bytes)) in sections {
            let section = Section { group, entries, bytes: bytes.into() };
            writer.add(&Uid::new("spend"), state, &section).expect("short names");
        }
        finished(writer)
    }

    /// Writes checkpoint `id` of minute `id`, as changes to `before`.
    pub(in crate::cli) fn write(&self, path: &str, id: u64, before: Option<&Manifest>) -> Manifest {
        wait_for(async {
            let store = CheckpointStore::open(path).expect("opens");
            let (bytes, entries) = self.segment();
            let mode = if before.is_some() { SnapshotMode::Delta } else { SnapshotMode::Full };
            let id = CheckpointId(id);
            let written = store.write_segment(id, "a", bytes, mode, entries).await.expect("writes");
            let mut segments = before.map(|m| m.segments.clone()).unwrap_or_default();
            segments.push(written);
            let watermarks = vec![at(7); 2];
            let operator =
                OperatorEntry { parallelism: 2, watermark: at(7), watermarks, states: specs() };
            let manifest = Manifest {
                version: 1,
                engine: "0.1.0".to_owned(),
                job: "card-fraud".to_owned(),
                checkpoint: id,
                kind: CheckpointKind::Periodic,
                attempt: "a".to_owned(),
                created: at(60 * id.0 as i64),
                key_groups: GROUPS,
                operators: [(Uid::new("spend"), operator)].into(),
                sources: BTreeMap::new(),
                prepared: BTreeMap::new(),
                runs: Vec::new(),
                segments,
            };
            store.write_manifest(&manifest).await.expect("writes");
            manifest
        })
    }
}

/// Three users, one of whom is gone; slices and timers; collections whole and in rows.
pub(in crate::cli) fn usual() -> Held {
    let slice = |second: i64| (second * 1000) ^ i64::MIN;
    let rows = to_bytes(&["c".to_owned()]).expect("a value");
    let two = to_bytes(&["a".to_owned(), "b".to_owned()]).expect("a value");
    let added = to_bytes(&["d".to_owned()]).expect("a value");
    let minus_five = to_bytes(&-5_i64).expect("a value");
    Held::default()
        .put("total", &user("de", 7), &spent(3))
        .put("total", &user("de", 8), &spent(u64::MAX))
        .put("total", &user("fr", 7), &spent(1))
        .put("total", &user("it", 1), &spent(2))
        .delete("total", &user("it", 1))
        .put_at("per-minute", slice(60), &"shop".to_owned(), &[5])
        .put_at("per-minute", slice(-60), &"shop".to_owned(), &[4])
        .put_at("#event-timers", 61_001 ^ i64::MIN, &"shop".to_owned(), &[])
        .put_row("tags", &encoded(&1_u64), &0_u32.to_be_bytes(), &two)
        .put_row("tags", &encoded(&1_u64), &[0x80, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 5], &added)
        .put_row("tags", &encoded(&2_u64), &512_u32.to_be_bytes(), &rows)
        .put_row("by-day", &encoded(&1_u64), &encoded(&20_u32), &minus_five)
        .put_row("by-day", &encoded(&2_u64), &encoded(&21_u32), &[6])
        .put_row("own", &encoded(&1_u64), &[], &[1, 2, 3])
}

pub(in crate::cli) fn user(country: &str, id: u64) -> User {
    User { country: country.to_owned(), id }
}

pub(in crate::cli) fn spent(count: u64) -> Spend {
    let name = format!("n{count}");
    let mean = (count > 1).then_some(0.5);
    Spend { count, cents: i64::MIN, mean, name, open: true }
}

/// The order that `line` gives.
pub(in crate::cli) fn order(line: &[&str]) -> StateOrder {
    let words = ["job", "state"].into_iter().chain(line.iter().copied());
    match Arguments::try_parse_from(words).expect("parses").order {
        Order::State { order } => order,
        other => panic!("{other:?}"),
    }
}

/// The checkpoint `name` of the store at `path`.
pub(in crate::cli) fn opened(path: &str, name: &str) -> Opened {
    let StateOrder::Ls { from, .. } = order(&["ls", "--checkpoint", name]) else { panic!("ls") };
    wait_for(Opened::at(path, &from)).expect("opens")
}
