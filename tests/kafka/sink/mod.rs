//! Jobs that write to Kafka.

mod brokers;
mod cuts;
mod ends;
mod kills;
mod lost;
mod markers;
mod numbers;
mod online;
mod shapes;
mod zombies;
