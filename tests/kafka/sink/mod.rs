//! Jobs that write to Kafka.

mod brokers;
mod kills;
mod markers;
mod shapes;
mod zombies;
