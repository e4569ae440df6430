//! What a sequence of entries does to the rows before it, in its shortest form.
//!
//! Called by [`crate::checkpoint::view`] (what deltas do to a run) and wherever deltas are
//! squashed. Invariants: `deletes` holds no prefix of another; applied to the state of any moment
//! within the sequence, an overlay leaves the state at its end, so it may be applied again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use riverrun_engine::checkpoint::Section;
use riverrun_engine::key::KeyGroup;
use riverrun_engine::planted;
use riverrun_engine::state::entry::{self, Entry, Op};

use super::puts::Puts;

/// Namespace and key.
pub type Place = (Bytes, Bytes);

/// What a namespace and a key take beside their bytes.
pub(in crate::checkpoint) const PLACE_OVERHEAD: usize = 2 * size_of::<Bytes>() + 16;
/// What a value takes beside its bytes.
pub(in crate::checkpoint) const VALUE_OVERHEAD: usize = size_of::<Bytes>() + 8;

/// Drops, then deletes, then puts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    drops: BTreeSet<Bytes>,
    deletes: BTreeSet<Place>,
    puts: BTreeMap<Place, Bytes>,
}

impl Overlay {
    /// Adds the entries of `section`; its bytes are shared, not copied.
    ///
    /// # Errors
    /// Bytes that are not entries.
    pub fn add(&mut self, section: &Bytes) -> anyhow::Result<()> {
        let mut rest = &section[..];
        while let Some(entry) = entry::read(&mut rest)? {
            let namespace = section.slice_ref(entry.namespace);
            let key = section.slice_ref(entry.key);
            match entry.op {
                Op::Put => drop(self.puts.insert((namespace, key), section.slice_ref(entry.value))),
                Op::Delete => self.delete(namespace, key),
                Op::Drop => self.drop_namespace(namespace),
            }
        }
        Ok(())
    }

    fn delete(&mut self, namespace: Bytes, key: Bytes) {
        let from = (namespace, key);
        let begins = |(namespace, key): &&Place| *namespace == from.0 && key.starts_with(&from.1);
        let puts = self.puts.range(from.clone()..).map(|(place, _)| place);
        let gone: Vec<_> = puts.take_while(begins).cloned().collect();
        for place in gone {
            self.puts.remove(&place);
        }
        if self.deletes(&from.0, &from.1) {
            return;
        }
        let within = self.deletes.range(from.clone()..).take_while(begins);
        for place in within.cloned().collect::<Vec<_>>() {
            self.deletes.remove(&place);
        }
        self.deletes.insert(from);
    }

    fn drop_namespace(&mut self, namespace: Bytes) {
        let from = (namespace, Bytes::new());
        let puts = self.puts.range(from.clone()..).map(|(place, _)| place);
        for place in puts.take_while(|place| place.0 == from.0).cloned().collect::<Vec<_>>() {
            self.puts.remove(&place);
        }
        let deletes = self.deletes.range(from.clone()..);
        for place in deletes.take_while(|place| place.0 == from.0).cloned().collect::<Vec<_>>() {
            self.deletes.remove(&place);
        }
        self.drops.insert(from.0);
    }

    /// Whether a delete of this namespace covers `key`. The nearest below it decides: whatever lies
    /// between a prefix of a key and the key begins with that prefix too.
    fn deletes(&self, namespace: &Bytes, key: &Bytes) -> bool {
        let to = (namespace.clone(), key.clone());
        let nearest = self.deletes.range(..=to).next_back();
        nearest.is_some_and(|(other, prefix)| other == namespace && key.starts_with(prefix))
    }

    /// Whether a row from before is gone, put again or not.
    #[must_use]
    pub fn removes(&self, namespace: &Bytes, key: &Bytes) -> bool {
        self.drops.contains(namespace) || self.deletes(namespace, key)
    }

    /// The value that one row is given, if it is.
    #[must_use]
    pub fn put(&self, row: &Place) -> Option<&Bytes> {
        self.puts.get(row)
    }

    /// Whether it takes rows away.
    #[must_use]
    pub fn has_removals(&self) -> bool {
        !self.drops.is_empty() || !self.deletes.is_empty()
    }

    /// About how many bytes of memory it takes; what it shares with a section counts in full.
    #[must_use]
    pub fn memory(&self) -> usize {
        let place = |(namespace, key): &Place| namespace.len() + key.len() + PLACE_OVERHEAD;
        let puts = self.puts.iter().map(|(at, value)| place(at) + value.len() + VALUE_OVERHEAD);
        let deletes = self.deletes.iter().map(place);
        puts.sum::<usize>() + deletes.sum::<usize>() + self.drops.len() * PLACE_OVERHEAD
    }

    /// The rows it puts, rising: namespace, key, value.
    pub fn puts(&self) -> impl Iterator<Item = (&Bytes, &Bytes, &Bytes)> {
        self.puts.iter().map(|((namespace, key), value)| (namespace, key, value))
    }

    /// Key and value of the lowest row without a namespace that it puts, of those from a key on.
    #[must_use]
    pub fn put_from(&self, key: Bound<Bytes>) -> Option<(&Bytes, &Bytes)> {
        let from = key.map(|key| (Bytes::new(), key));
        let next = self.puts.range((from, Bound::Unbounded)).next();
        next.filter(|(at, _)| at.0.is_empty()).map(|((_, key), value)| (key, value))
    }

    /// The lowest row it puts.
    #[must_use]
    pub fn first_put(&self) -> Option<&Place> {
        self.puts.first_key_value().map(|(place, _)| place)
    }

    /// Takes out the lowest row it puts.
    pub fn pop_put(&mut self) -> Option<(Place, Bytes)> {
        self.puts.pop_first()
    }

    /// Keeps only the rows of `namespace` (all, where it is `None`) whose key begins with `prefix`.
    pub fn keep_puts(&mut self, namespace: Option<&[u8]>, prefix: &[u8]) {
        self.puts.retain(|(other, key), _| {
            namespace.is_none_or(|namespace| namespace == &other[..]) && key.starts_with(prefix)
        });
    }

    /// Appends the entries that do the same, at most one for each row, prefix and namespace.
    ///
    /// # Errors
    /// A part that is longer than 4 GiB.
    pub fn write(&self, out: &mut Vec<u8>) -> anyhow::Result<u64> {
        let (key, value) = (&[][..], &[][..]);
        for namespace in &self.drops {
            entry::write(out, Entry { op: Op::Drop, namespace, key, value })?;
        }
        let most = if planted!("squash.removal.lost") { 0 } else { usize::MAX };
        for (namespace, key) in self.deletes.iter().take(most) {
            entry::write(out, Entry { op: Op::Delete, namespace, key, value })?;
        }
        for ((namespace, key), value) in &self.puts {
            entry::write(out, Entry { op: Op::Put, namespace, key, value })?;
        }
        Ok((self.drops.len() + self.deletes.len() + self.puts.len()) as u64)
    }
}

/// Sections that say first what they take away, then only what they put.
#[derive(Debug)]
pub struct RemovalsFirst<'a> {
    /// How many entries take away.
    pub removed: u64,
    /// Those.
    pub removals: &'a [u8],
    /// The others.
    pub puts: Puts<'a>,
}

impl<'a> RemovalsFirst<'a> {
    /// All of `sections`; `None` where a row is put before one is taken away.
    ///
    /// # Errors
    /// Bytes that are not entries.
    pub fn of(sections: &'a [Section]) -> anyhow::Result<Option<Self>> {
        let Some((first, later)) = sections.split_first() else {
            return Ok(Some(RemovalsFirst { removed: 0, removals: &[], puts: Puts::default() }));
        };
        // What is removed first is of what was before all this.
        let (removed, end) = removals_of(&first.bytes)?;
        let (removals, rest) = first.bytes.split_at(end);
        let mut puts = Puts::default();
        for section in std::iter::once(rest).chain(later.iter().map(|section| &section.bytes[..])) {
            if !puts.add(section)? {
                return Ok(None);
            }
        }
        Ok(Some(RemovalsFirst { removed, removals, puts }))
    }
}

/// The entries that do the same as those of `sections`, one after the other: drops, deletes, then
/// puts that rise by namespace and key.
///
/// # Errors
/// Bytes that are not entries.
pub fn sorted(group: KeyGroup, sections: &[Section]) -> anyhow::Result<Section> {
    let Some(RemovalsFirst { removed, removals, puts }) = RemovalsFirst::of(sections)? else {
        return overlaid(group, sections);
    };
    let mut bytes = removals.to_vec();
    let entries = removed + puts.write(&mut bytes);
    Ok(Section { group, entries, bytes: bytes.into() })
}

/// As [`sorted`], of sections that are not [`RemovalsFirst`].
///
/// # Errors
/// Bytes that are not entries.
pub fn overlaid(group: KeyGroup, sections: &[Section]) -> anyhow::Result<Section> {
    let (mut overlay, mut bytes) = (Overlay::default(), Vec::new());
    for section in sections {
        overlay.add(&section.bytes)?;
    }
    let entries = overlay.write(&mut bytes)?;
    Ok(Section { group, entries, bytes: bytes.into() })
}

/// With how many entries that are no puts a section begins, and where they end.
fn removals_of(section: &[u8]) -> anyhow::Result<(u64, usize)> {
    let (mut removals, mut rest) = (0, section);
    loop {
        let at = section.len() - rest.len();
        match entry::read(&mut rest)? {
            Some(entry) if entry.op != Op::Put => removals += 1,
            _ => return Ok((removals, at)),
        }
    }
}
