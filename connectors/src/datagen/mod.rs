//! Makes records up: record `i` depends on the seed and on `i` alone, so that a restart, another
//! parallelism and another day bring the same records.
//!
//! ```
//! use riverrun_connectors::datagen::Datagen;
//! let numbers = Datagen::new(|i, chance| (i, chance.below(6) + 1)).seed(7).count(1_000).splits(4);
//! # drop(numbers);
//! ```

mod chance;
mod pace;
mod reader;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use anyhow::ensure;
use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::source::{Source, Split};
use serde::{Deserialize, Serialize};

pub use chance::Chance;
pub use reader::{DatagenReader, Generated};

/// The largest block within which records are shuffled: 8 bytes for each are kept.
const DISORDER_MAX: u32 = 1 << 20;

/// A source of made-up records.
pub struct Datagen<T, F> {
    make: Arc<F>,
    settings: Settings,
    item: PhantomData<fn() -> T>,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    seed: u64,
    count: Option<u64>,
    splits: u32,
    /// Records a second over all splits; 0 is as fast as it goes.
    rate: u64,
    disorder: u32,
}

impl<T, F> fmt::Debug for Datagen<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Datagen({:?})", self.settings)
    }
}

impl<T, F> Datagen<T, F>
where
    T: Data,
    F: Fn(u64, &mut Chance) -> T + Send + Sync + 'static,
{
    /// Record `i` is `make(i, chance)`, where `chance` is seeded by the seed and `i`. `make` must
    /// not depend on anything else. Without `count` the source never ends; one split.
    pub fn new(make: F) -> Self {
        let settings = Settings { seed: 0, count: None, splits: 1, rate: 0, disorder: 1 };
        Datagen { make: Arc::new(make), settings, item: PhantomData }
    }

    /// Another seed, other records. 0 unless said otherwise.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Ends after the records `0..n`.
    #[must_use]
    pub fn count(mut self, n: u64) -> Self {
        self.settings.count = Some(n);
        self
    }

    /// Deals the records out to `n` splits: split `s` makes the records `i` with `i % n == s`, in
    /// order. A checkpoint holds the number: it cannot change later.
    #[must_use]
    pub fn splits(mut self, n: u32) -> Self {
        self.settings.splits = n;
        self
    }

    /// At most this many records a second, all splits together; 0 is no limit. After a pause at
    /// most one second's records are made up for.
    #[must_use]
    pub fn rate(mut self, records_per_s: u64) -> Self {
        self.settings.rate = records_per_s;
        self
    }

    /// Shuffles each `n` consecutive records of a split, the same way every time; at most 1048576.
    #[must_use]
    pub fn disorder(mut self, n: u32) -> Self {
        self.settings.disorder = n.max(1);
        self
    }
}

/// One split of a [`Datagen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatagenSplit {
    /// Which.
    pub number: u32,
    /// Of how many.
    pub of: u32,
}

impl Split for DatagenSplit {
    fn id(&self) -> String {
        format!("{}-of-{}", self.number, self.of)
    }
}

impl<T, F> Source for Datagen<T, F>
where
    T: Data,
    F: Fn(u64, &mut Chance) -> T + Send + Sync + 'static,
{
    type Item = T;
    type Split = DatagenSplit;
    type Reader = DatagenReader<T, F>;

    fn is_bounded(&self) -> bool {
        self.settings.count.is_some()
    }

    async fn discover(&self, _ctx: &TaskContext) -> Result<Vec<DatagenSplit>> {
        self.check()?;
        let of = self.settings.splits;
        Ok((0..of).map(|number| DatagenSplit { number, of }).collect())
    }

    async fn open(&self, ctx: TaskContext) -> Result<Self::Reader> {
        Ok(DatagenReader::new(self.make.clone(), self.settings, ctx))
    }

    fn check(&self) -> Result<()> {
        let Settings { splits, disorder, .. } = self.settings;
        ensure!(splits > 0, "RR0501: a datagen source has 0 splits: write `.splits(1)` or more");
        ensure!(
            disorder <= DISORDER_MAX,
            "RR0502: `.disorder({disorder})` is above {DISORDER_MAX}: write a smaller number"
        );
        Ok(())
    }
}
