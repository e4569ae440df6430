//! Producers with transactions.
