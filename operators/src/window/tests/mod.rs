//! The window operators against plain models under random operations, and at pointed moments.

mod driver;
mod model;
mod pointed;
mod random;
mod uneven;

use serde::{Deserialize, Serialize};

use super::Aggregate;

/// All items of a window, sorted: an aggregate that forgets nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Items(Vec<i64>);

impl Aggregate<i64> for Items {
    fn add(&mut self, item: &i64) {
        self.0.insert(self.0.partition_point(|held| held < item), *item);
    }

    fn merge(&mut self, other: Self) {
        other.0.iter().for_each(|item| self.add(item));
    }
}
