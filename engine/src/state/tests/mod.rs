//! All kinds of state against plain maps: random changes, barriers whose snapshots are written in
//! small steps while the state goes on changing, crashes, restores at another parallelism.

mod batches;
mod bounded;
mod files;
mod large;
mod lazy;
mod model;
mod pointed;
mod portions;
mod random;
mod ttl;
