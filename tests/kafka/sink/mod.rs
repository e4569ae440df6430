//! Jobs that write to Kafka.

mod brokers;
mod ends;
mod kills;
mod markers;
mod online;
mod shapes;
mod zombies;
