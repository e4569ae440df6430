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
use super::sweep::Ends;
use super::table::Table;
use super::ttl::{Ttl, Until};
use crate::data::{Codec, Data, Key, Rmp};
use crate::key::KeyGroupRange;
use crate::time::Timestamp;
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
    /// How long its entries live, if they end; each value then lies beside the moment it ends, as
    /// the type says: a pair of milliseconds since 1970 and the user's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Ttl>,
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
        ValueState::new(self.table(name, codec).index(), name, None)
    }

    /// A list per key.
    pub fn list<V: Data>(&mut self, name: &'static str) -> ListState<V> {
        self.declare::<V, Rmp>(name, StateKind::List);
        let slot = self.add::<ListEntries<V>>(name, Box::new(ListLayout::<V>::new()));
        ListState::new(slot.index(), name, None)
    }

    /// A map per key.
    pub fn map<M: Key, V: Data>(&mut self, name: &'static str) -> MapState<M, V> {
        self.declare::<V, Rmp>(name, StateKind::Map).map_key = Some(TypeShape::of::<M>());
        let slot = self.add::<MapEntries<M, V>>(name, Box::new(MapLayout::<M, V>::new()));
        MapState::new(slot.index(), name, None)
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

    /// The states that are declared through what this returns hold entries that end by themselves:
    ///
    /// ```
    /// # use riverrun_engine::state::{Declare, MapState, Ttl, ValueState};
    /// # use riverrun_engine::time::{hours, minutes};
    /// struct Visits {
    ///     last: ValueState<String>,
    ///     seen: MapState<u64, u32>,
    /// }
    ///
    /// impl Visits {
    ///     fn open(op: &mut Declare<u64>) -> Visits {
    ///         let ttl = Ttl::since_write(hours(24));
    ///         Visits {
    ///             last: op.ttl(ttl).value("last"),
    ///             seen: op.ttl(Ttl::since_read(minutes(10)).processing_time()).map("seen"),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn ttl(&mut self, ttl: Ttl) -> Ending<'_, K> {
        Ending { declare: self, ttl }
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
        self.slices(name, None)
    }

    /// As [`Declare::sliced`], of values that can be merged: what was made of later records into
    /// what was made of earlier ones. So memory pressure does not make them be read before they are
    /// added to; who walks a slice merges what [`super::Slice::walk_part`] shows.
    pub fn sliced_merging<V: Data>(
        &mut self,
        name: &str,
        merge: fn(&mut V, V),
    ) -> Slot<SliceTable<K, V>> {
        self.slices(name, Some(merge))
    }

    fn slices<V: Data>(
        &mut self,
        name: &str,
        merge: Option<fn(&mut V, V)>,
    ) -> Slot<SliceTable<K, V>> {
        self.declare::<V, Rmp>(name, StateKind::Sliced);
        let (range, tracked) = (self.store.range(), self.store.tracked());
        let slices = SliceTable::<K, V>::new(range, tracked, ValueCodec::new(Rmp), merge);
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

    /// Reads `state` also from checkpoints in which it held `Old`s. Where it has a time to live, so
    /// had the old one, and what ends still ends then.
    ///
    /// A state that had a time to live and has none any more held pairs of the moment and the
    /// value: `op.migrate(&last, |(until, old): (Timestamp, Old)| ..)`. Some may have ended.
    pub fn migrate<Old: Data, V: Data>(&mut self, state: &ValueState<V>, f: fn(Old) -> V) {
        if state.ttl().is_some() {
            self.migration(state.index(), move |(until, old): Until<Old>| (until, f(old)));
        } else {
            self.migration(state.index(), f);
        }
    }

    /// Reads `state`, which has a time to live, also from checkpoints in which it had none, or one
    /// by another clock (`Old` is then a pair of the moment and the value): `f` says when each
    /// value ends, and the value.
    ///
    /// # Panics
    /// When the state has no time to live.
    pub fn migrate_to_ttl<Old: Data, V: Data>(
        &mut self,
        state: &ValueState<V>,
        f: fn(Old) -> (Timestamp, V),
    ) {
        assert!(state.ttl().is_some(), "{state:?} has no time to live: declare it by `op.ttl(..)`");
        self.migration(state.index(), f);
    }

    fn migration<Old: Data, V: Data>(
        &mut self,
        index: usize,
        f: impl Fn(Old) -> V + Send + Sync + 'static,
    ) {
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
            ttl: None,
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

/// Declares states whose entries end by themselves: made by [`Declare::ttl`].
#[derive(Debug)]
pub struct Ending<'d, K> {
    declare: &'d mut Declare<K>,
    ttl: Ttl,
}

impl<K: Key> Ending<'_, K> {
    /// One value per key.
    pub fn value<V: Data>(self, name: &'static str) -> ValueState<V> {
        let ttl = Some(self.ttl);
        let layout = ValueLayout::new(&[], ValueCodec::new(Rmp));
        let index = self.add::<V, Until<V>>(name, StateKind::Value, None, Box::new(layout));
        ValueState::new(index, name, ttl)
    }

    /// A list per key; each of its values ends by itself.
    pub fn list<V: Data>(self, name: &'static str) -> ListState<V> {
        let (ttl, layout) = (Some(self.ttl), ListLayout::<Until<V>>::new());
        let layout = Box::new(layout);
        let index = self.add::<V, ListEntries<Until<V>>>(name, StateKind::List, None, layout);
        ListState::new(index, name, ttl)
    }

    /// A map per key; each of its pairs ends by itself.
    pub fn map<M: Key, V: Data>(self, name: &'static str) -> MapState<M, V> {
        let (ttl, layout) = (Some(self.ttl), MapLayout::<M, Until<V>>::new());
        let (layout, map_key) = (Box::new(layout), Some(TypeShape::of::<M>()));
        let index = self.add::<V, MapEntries<M, Until<V>>>(name, StateKind::Map, map_key, layout);
        MapState::new(index, name, ttl)
    }

    /// A state with values of `V` in entries of `E`.
    fn add<V: Data, E: Ends + Send + 'static>(
        self,
        name: &str,
        kind: StateKind,
        map_key: Option<TypeShape>,
        layout: Box<dyn Layout<K, E>>,
    ) -> usize {
        let Ending { declare, ttl } = self;
        let spec = declare.declare::<Until<V>, Rmp>(name, kind);
        (spec.map_key, spec.ttl) = (map_key, Some(ttl));
        let store = &mut declare.store;
        let table = Table::<K, E>::new(store.range(), store.tracked(), layout).ending(ttl);
        let index = store.add(name, Box::new(table));
        store.ends(index, ttl.time());
        index
    }
}
