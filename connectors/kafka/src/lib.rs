//! Kafka in batches of raw records: fetching, sending, transactions. The one door to a Kafka
//! client; it knows nothing of sources, sinks or operators.
//!
//! Behind it stands librdkafka, driven through its batch calls. Records cross the door as slices
//! over shared bytes, a batch at a time, so that another client can stand behind it. Everything
//! here blocks: it is called on threads of its own.
//!
//! - [`cluster`]: questions to a cluster;
//! - [`connection`]: where the cluster is and how to log in;
//! - [`marker`]: the topic whose last record says what is committed;
//! - [`fetch`]: records of partitions, from explicit offsets;
//! - [`records`]: a batch of raw records;
//! - [`send`]: producers with transactions.

pub mod cluster;
pub mod connection;
pub mod fetch;
pub mod marker;
pub mod records;
pub mod send;
