//! Batches with their item type erased.

use std::any::Any;

use crate::data::Data;
use crate::deal::deal;
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

impl AnyBatch {
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
