//! State with a time to live: what is seen is right at every step, whatever was swept, evicted,
//! written and restored; in the end nothing is left.

mod plain;
mod pointed;
mod random;
