//! What the jobs read: payments by card.

use riverrun::prelude::*;

/// A payment by card.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Transaction {
    /// Whose.
    pub(crate) card: u64,
    /// How much.
    pub(crate) cents: i64,
    /// Where.
    pub(crate) country: u16,
    /// When.
    pub(crate) at: Timestamp,
    /// The label: whether the thief paid. No alert looks at it.
    pub(crate) fraud: bool,
}
