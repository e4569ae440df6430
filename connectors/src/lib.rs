//! Where Riverrun's records come from and go: sources and sinks.
