//! Batches with their item type erased.

use std::any::Any;

use crate::data::Data;
use crate::deal::{deal, deal_keyed, paired};
use crate::element::{Batch, Origins};
use crate::key::Owners;
use crate::operator::Result;

trait ErasedBatch: Send {
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    fn len(&self) -> usize;
    /// The lengths of the columns: items, timestamps, hashes.
    fn columns(&self) -> [usize; 3];
    fn origins(&self) -> &Origins;
    fn clone_boxed(&self) -> Box<dyn ErasedBatch>;
    /// Deals the records out to their owners.
    fn scatter(self: Box<Self>, owners: &Owners) -> Vec<AnyBatch>;
    fn append(&mut self, other: AnyBatch) -> Result<(), AnyBatch>;
    fn type_name(&self) -> &'static str;
    fn type_id_of(&self) -> std::any::TypeId;
}

/// A batch whose item type only its producer and its consumer know.
pub struct AnyBatch(Box<dyn ErasedBatch>);

impl std::fmt::Debug for AnyBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AnyBatch({} of {})", self.len(), self.0.type_name())
    }
}

impl<T: Data> ErasedBatch for Batch<T> {
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
    fn len(&self) -> usize {
        self.items.len()
    }
    fn columns(&self) -> [usize; 3] {
        [self.items.len(), self.timestamps.len(), self.hashes.len()]
    }
    fn origins(&self) -> &Origins {
        &self.origins
    }
    fn clone_boxed(&self) -> Box<dyn ErasedBatch> {
        Box::new(self.clone())
    }
    fn scatter(self: Box<Self>, owners: &Owners) -> Vec<AnyBatch> {
        deal(*self, owners).into_iter().map(AnyBatch::new).collect()
    }
    fn append(&mut self, other: AnyBatch) -> Result<(), AnyBatch> {
        let other = other.into_typed::<T>()?;
        self.items.extend(other.items);
        self.timestamps.extend(other.timestamps);
        self.hashes.extend(other.hashes);
        self.origins.merge(&other.origins);
        Ok(())
    }
    fn type_name(&self) -> &'static str {
        std::any::type_name::<T>()
    }
    fn type_id_of(&self) -> std::any::TypeId {
        std::any::TypeId::of::<Batch<T>>()
    }
}

/// A [`Batch<(K, T)>`] whose keys lie in a column of their own: each item is put beside its key
/// where it is dealt out, and need not be written twice.
struct Keyed<K, T> {
    keys: Vec<K>,
    records: Batch<T>,
}

impl<K: Data, T: Data> ErasedBatch for Keyed<K, T> {
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        Box::new(paired(self.keys, self.records))
    }
    fn len(&self) -> usize {
        self.records.len()
    }
    fn columns(&self) -> [usize; 3] {
        self.records.columns()
    }
    fn origins(&self) -> &Origins {
        &self.records.origins
    }
    fn clone_boxed(&self) -> Box<dyn ErasedBatch> {
        Box::new(Keyed { keys: self.keys.clone(), records: self.records.clone() })
    }
    fn scatter(self: Box<Self>, owners: &Owners) -> Vec<AnyBatch> {
        deal_keyed(self.keys, self.records, owners).into_iter().map(AnyBatch::new).collect()
    }
    fn append(&mut self, other: AnyBatch) -> Result<(), AnyBatch> {
        let Batch { items, timestamps, hashes, origins } = other.into_typed::<(K, T)>()?;
        let (keys, items): (Vec<K>, Vec<T>) = items.into_iter().unzip();
        self.keys.extend(keys);
        self.records.append(AnyBatch::new(Batch { items, timestamps, hashes, origins }))
    }
    fn type_name(&self) -> &'static str {
        std::any::type_name::<(K, T)>()
    }
    fn type_id_of(&self) -> std::any::TypeId {
        std::any::TypeId::of::<Batch<(K, T)>>()
    }
}

impl AnyBatch {
    /// Forgets the type of the batch of each of `records` with its key, of `keys`, in order.
    ///
    /// # Panics
    /// When these are not as many as the records.
    #[must_use]
    pub fn keyed<K: Data, T: Data>(keys: Vec<K>, records: Batch<T>) -> Self {
        assert_eq!(keys.len(), records.len(), "every record has one key");
        AnyBatch(Box::new(Keyed { keys, records }))
    }

    /// Forgets the type of `batch`.
    #[must_use]
    pub fn new<T: Data>(batch: Batch<T>) -> Self {
        AnyBatch(Box::new(batch))
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every record has a timestamp, and all or none a hash.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let [items, timestamps, hashes] = self.0.columns();
        timestamps == items && (hashes == items || hashes == 0)
    }

    /// Where the records came from.
    #[must_use]
    pub fn origins(&self) -> &Origins {
        self.0.origins()
    }

    /// A copy, for the second reader of a stream.
    #[must_use]
    pub fn duplicate(&self) -> AnyBatch {
        AnyBatch(self.0.clone_boxed())
    }

    /// Deals the records out by the hash of their key: a part for each subtask, in their order.
    #[must_use]
    pub fn scatter(self, owners: &Owners) -> Vec<AnyBatch> {
        self.0.scatter(owners)
    }

    /// Appends the records of `other`; gives it back when its type is another.
    ///
    /// # Errors
    /// `other`, untouched.
    pub fn append(&mut self, other: AnyBatch) -> Result<(), AnyBatch> {
        self.0.append(other)
    }

    /// The typed batch; gives the erased one back when its type is another.
    ///
    /// # Errors
    /// `self`, untouched.
    pub fn into_typed<T: Data>(self) -> Result<Batch<T>, AnyBatch> {
        if (*self.0).type_id_of() == std::any::TypeId::of::<Batch<T>>() {
            let any = self.0.into_any();
            let batch = any.downcast::<Batch<T>>().unwrap_or_else(|_| unreachable!("type checked"));
            Ok(*batch)
        } else {
            Err(self)
        }
    }

    pub(super) fn expect<T: Data>(self) -> Result<Batch<T>> {
        self.into_typed().map_err(|batch| {
            let (found, wanted) = (batch.0.type_name(), std::any::type_name::<T>());
            anyhow::anyhow!(
                "a stream of {found} is read as one of {wanted}: is a side output's type wrong?"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KEY_GROUPS, KeyHasher};
    use crate::time::at;

    #[test]
    fn a_keyed_batch_is_one_of_pairs() {
        let keys = vec![7_u64, 8, 7];
        let hashes = KeyHasher::default().hash_all(&keys).expect("hashes");
        let items: Vec<String> = keys.iter().map(u64::to_string).collect();
        let timestamps = vec![at(1), at(2), at(3)];
        let pairs: Vec<(u64, String)> = keys.iter().copied().zip(items.clone()).collect();
        let records = Batch { items, timestamps, hashes, ..Batch::default() };
        let new = || AnyBatch::keyed(keys.clone(), records.clone());
        assert!(new().is_whole() && new().len() == 3);
        let typed = |batch: AnyBatch| batch.into_typed::<(u64, String)>().expect("pairs");
        assert!(new().into_typed::<String>().is_err());
        assert_eq!(typed(new()).items, pairs);
        let mut twice = new().duplicate();
        twice.append(new()).expect("of the same type");
        twice.append(AnyBatch::new(typed(new()))).expect("of the same type");
        let Batch { items, timestamps, hashes, .. } = typed(twice);
        assert_eq!(items, [pairs.clone(), pairs.clone(), pairs.clone()].concat());
        assert_eq!(hashes, records.hashes.repeat(3));
        assert_eq!(timestamps, records.timestamps.repeat(3));
        let parts = new().scatter(&Owners::new(3, KEY_GROUPS));
        let mut dealt: Vec<_> = parts.into_iter().flat_map(|part| typed(part).items).collect();
        dealt.sort();
        assert_eq!(dealt, [pairs[0].clone(), pairs[2].clone(), pairs[1].clone()]);
    }
}
