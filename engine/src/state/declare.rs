//! [`Declare`]: how an operator names its state, once, while it opens.
//!
//! The same call serves three: the graph opens dry, so that `check` knows every state before a run;
//! the runtime opens for the key groups of a subtask; the harness opens for all of them.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::codec::{TypeShape, ValueCodec};
use super::handle::ValueState;
use super::layout::{Layout, ValueLayout};
use super::list::{ListEntries, ListLayout, ListState};
use super::map::{MapEntries, MapLayout, MapState};
use super::slices::SliceTable;
use super::store::{Slot, StateStore};
use super::table::Table;
use crate::data::{Codec, Data, Key, Rmp};
use crate::key::KeyGroupRange;
use crate::timer::{TimerQueue, Timers};

/// What is kept for each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateKind {
    /// One value.
    Value,
    /// A list.
    List,
    /// A map.
    Map,
    /// One value per slice of event time.
    Sliced,
    /// Timers.
    Timers,
}

/// A declared state, as the manifest keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSpec {
    /// Its name within the operator.
    pub name: String,
    /// What is kept for each key.
    pub kind: StateKind,
    /// The codec of its values.
    pub codec: String,
    /// The type of its keys.
    pub key: TypeShape,
    /// The type of its map keys, if it is a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_key: Option<TypeShape>,
    /// The type of its values: of one value of a list or a map.
    pub value: TypeShape,
    /// The types it can also be restored from.
    #[serde(skip)]
    pub migrates_from: Vec<TypeShape>,
}

/// Declares the states of one operator; `K` is its key, `()` where there is none.
#[derive(Debug)]
pub struct Declare<K = ()> {
    store: StateStore,
    specs: Vec<StateSpec>,
    twice: Vec<String>,
    key: PhantomData<fn() -> K>,
}

impl<K: Key> Declare<K> {
    /// For the keys of `range`; changes are listed for deltas when `tracked`.
    #[must_use]
    pub fn new(range: KeyGroupRange, tracked: bool) -> Self {
        let store = StateStore::new(range, tracked);
        Declare { store, specs: Vec::new(), twice: Vec::new(), key: PhantomData }
    }

    /// One value per key.
    pub fn value<V: Data>(&mut self, name: &'static str) -> ValueState<V> {
        self.value_as(name, Rmp)
    }

    /// One value per key, in a codec of your own.
    pub fn value_as<V: Data, C: Codec<V> + Sync>(
        &mut self,
        name: &'static str,
        codec: C,
    ) -> ValueState<V> {
        ValueState::new(self.table(name, codec).index(), name)
    }

    /// A list per key.
    pub fn list<V: Data>(&mut self, name: &'static str) -> ListState<V> {
        self.declare::<V, Rmp>(name, StateKind::List);
        let slot = self.add::<ListEntries<V>>(name, Box::new(ListLayout::<V>::new()));
        ListState::new(slot.index(), name)
    }

    /// A map per key.
    pub fn map<M: Key, V: Data>(&mut self, name: &'static str) -> MapState<M, V> {
        self.declare::<V, Rmp>(name, StateKind::Map).map_key = Some(TypeShape::of::<M>());
        let slot = self.add::<MapEntries<M, V>>(name, Box::new(MapLayout::<M, V>::new()));
        MapState::new(slot.index(), name)
    }

    /// One value per key as a bare table, for operators that take their keys by the batch.
    pub fn table<V: Data, C: Codec<V> + Sync>(
        &mut self,
        name: &'static str,
        codec: C,
    ) -> Slot<Table<K, V>> {
        self.declare::<V, C>(name, StateKind::Value);
        self.add::<V>(name, Box::new(ValueLayout::new(&[], ValueCodec::new(codec))))
    }

    fn add<V: Send + 'static>(
        &mut self,
        name: &str,
        layout: Box<dyn Layout<K, V>>,
    ) -> Slot<Table<K, V>> {
        let table = Table::<K, V>::new(self.store.range(), self.store.tracked(), layout);
        Slot::at(self.store.add(name, Box::new(table)))
    }

    /// One value per key and slice of event time. The name may hold the length of the slices: a
    /// checkpoint with slices of another length is then refused.
    pub fn sliced<V: Data>(&mut self, name: &str) -> Slot<SliceTable<K, V>> {
        self.declare::<V, Rmp>(name, StateKind::Sliced);
        let (range, tracked) = (self.store.range(), self.store.tracked());
        let slices = SliceTable::<K, V>::new(range, tracked, ValueCodec::new(Rmp));
        Slot::at(self.store.add(name, Box::new(slices)))
    }

    /// Event-time and processing-time timers per key.
    pub fn timers(&mut self) -> Timers<K> {
        let mut queue = |name| {
            self.declare::<(), Rmp>(name, StateKind::Timers);
            let queue = TimerQueue::<K>::new(self.store.range(), self.store.tracked());
            Slot::at(self.store.add(name, Box::new(queue)))
        };
        Timers { event: queue("#event-timers"), processing: queue("#processing-timers") }
    }

    /// Reads `state` also from checkpoints in which it held `Old`s.
    pub fn migrate<Old: Data, V: Data>(&mut self, state: &ValueState<V>, f: fn(Old) -> V) {
        let index = state.index();
        let table = self.store.get_mut::<Table<K, V>>(Slot::at(index));
        if let Some(codec) = table.codec_mut() {
            codec.migrate(Rmp, f);
            self.specs[index].migrates_from.push(TypeShape::of::<Old>());
        }
    }

    fn declare<V: Data, C: Codec<V>>(&mut self, name: &str, kind: StateKind) -> &mut StateSpec {
        if self.specs.iter().any(|spec| spec.name == name) {
            self.twice.push(name.to_owned());
        }
        self.specs.push(StateSpec {
            name: name.to_owned(),
            kind,
            codec: C::NAME.to_owned(),
            key: TypeShape::of::<K>(),
            map_key: None,
            value: TypeShape::of::<V>(),
            migrates_from: Vec::new(),
        });
        let last = self.specs.len() - 1;
        &mut self.specs[last]
    }

    /// The names declared more than once: an error of the job.
    #[must_use]
    pub fn declared_twice(&self) -> &[String] {
        &self.twice
    }

    /// What was declared, and the store to hold it.
    #[must_use]
    pub fn finish(self) -> (StateStore, Vec<StateSpec>) {
        (self.store, self.specs)
    }
}
