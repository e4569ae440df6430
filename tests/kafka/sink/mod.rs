//! Jobs that write to Kafka.

mod brokers;
mod kills;
mod markers;
mod online;
mod shapes;
mod zombies;
