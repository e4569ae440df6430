//! Where an operator's results wait until the task takes them: the main output, in batches of at
//! most [`BATCH_RECORDS`] where records are emitted one by one, and its side outputs by name.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

use crate::data::Data;
use crate::element::{BATCH_RECORDS, Batch, Origins};
use crate::erased::AnyBatch;
use crate::time::Timestamp;

/// The name and type of a second output: `const LATE: SideOutput<Click> =
/// SideOutput::new("late");`.
pub struct SideOutput<T> {
    name: &'static str,
    item: PhantomData<fn() -> T>,
}

impl<T> SideOutput<T> {
    /// A side output called `name` within its operator.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        SideOutput { name, item: PhantomData }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }
}

impl<T> Clone for SideOutput<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SideOutput<T> {}

impl<T> fmt::Debug for SideOutput<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SideOutput({})", self.name)
    }
}

/// Which of an operator's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// The main one.
    Main,
    /// A side output.
    Side(&'static str),
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Main => f.write_str("main"),
            Port::Side(name) => write!(f, "side output '{name}'"),
        }
    }
}

/// Collects what one call of an operator emits.
pub struct Output<O> {
    /// What is complete, in order.
    whole: Vec<AnyBatch>,
    /// What follows: records that were emitted one by one.
    open: Batch<O>,
    sides: Vec<(&'static str, Box<dyn SideBuffer>)>,
    origins: Origins,
}

trait SideBuffer: Any + Send {
    fn take(&mut self) -> AnyBatch;
    fn is_empty(&self) -> bool;
}

struct TypedSide<U>(Batch<U>);

impl<U: Data> SideBuffer for TypedSide<U> {
    fn take(&mut self) -> AnyBatch {
        AnyBatch::new(std::mem::take(&mut self.0))
    }
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<O: Data> Default for Output<O> {
    fn default() -> Self {
        let (whole, open) = (Vec::new(), Batch::default());
        Output { whole, open, sides: Vec::new(), origins: Origins::default() }
    }
}

impl<O: Data> Output<O> {
    /// What is emitted from here on comes from `origins`.
    pub fn set_origins(&mut self, origins: Origins) {
        self.origins = origins;
    }

    /// Emits one record.
    #[inline]
    pub fn emit(&mut self, item: O, timestamp: Timestamp) {
        if self.open.is_empty() || self.open.len() >= BATCH_RECORDS {
            self.begin();
        }
        self.open.push(item, timestamp);
    }

    /// Begins a batch for records that come one by one.
    #[cold]
    fn begin(&mut self) {
        self.close();
        self.open = Batch { origins: self.origins.clone(), ..Batch::with_capacity(64) };
    }

    /// What was emitted one by one is complete.
    fn close(&mut self) {
        if !self.open.is_empty() {
            self.whole.push(AnyBatch::new(std::mem::take(&mut self.open)));
        }
    }

    /// Emits a whole batch; an empty one is dropped.
    pub fn emit_batch(&mut self, batch: Batch<O>) {
        self.emit_erased(AnyBatch::new(batch));
    }

    fn emit_erased(&mut self, batch: AnyBatch) {
        if !batch.is_empty() {
            self.close();
            self.whole.push(batch);
        }
    }

    /// Emits one record to a side output.
    pub fn emit_to<U: Data>(&mut self, side: SideOutput<U>, item: U, timestamp: Timestamp) {
        let origins = &self.origins;
        let at = self.sides.iter().position(|(name, buffer)| {
            *name == side.name() && (&**buffer as &dyn Any).is::<TypedSide<U>>()
        });
        let at = at.unwrap_or_else(|| {
            self.sides.push((side.name(), Box::new(TypedSide::<U>(Batch::default()))));
            self.sides.len() - 1
        });
        let buffer = &mut *self.sides[at].1 as &mut dyn Any;
        if let Some(TypedSide(batch)) = buffer.downcast_mut::<TypedSide<U>>() {
            if batch.is_empty() {
                batch.origins = origins.clone();
            }
            batch.push(item, timestamp);
        }
    }

    /// Takes everything emitted so far.
    pub fn take(&mut self) -> Vec<(Port, AnyBatch)> {
        self.close();
        let mut taken: Vec<_> = self.whole.drain(..).map(|batch| (Port::Main, batch)).collect();
        for (name, side) in &mut self.sides {
            if !side.is_empty() {
                taken.push((Port::Side(name), side.take()));
            }
        }
        taken
    }
}

impl<K: Data, T: Data> Output<(K, T)> {
    /// Emits each of `records` with its key, of as many `keys`, in order.
    ///
    /// # Panics
    /// When there are not as many of both.
    pub fn emit_keyed(&mut self, keys: Vec<K>, records: Batch<T>) {
        self.emit_erased(AnyBatch::keyed(keys, records));
    }
}
