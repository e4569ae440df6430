//! Jobs that write to Kafka.

mod kills;
mod shapes;
