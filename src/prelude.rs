//! What a job needs, in one line: `use riverrun::prelude::*;`.

pub use std::process::ExitCode;

pub use riverrun_connectors::file::Files;
pub use riverrun_connectors::print::Print;
pub use riverrun_engine::bad::{BadRecord, Parsed};
pub use riverrun_engine::data::{Data, Key};
pub use riverrun_engine::output::SideOutput;
pub use riverrun_engine::source::Source;
pub use riverrun_engine::state::{Declare, ListState, MapState, Ttl, ValueState};
pub use riverrun_engine::time::{Timestamp, Window, at, hours, millis, minutes, secs};
pub use riverrun_engine::timer::Timer;
pub use riverrun_engine::watermark::Watermarks;
pub use riverrun_operators::*;
pub use serde::{Deserialize, Serialize};

pub use crate::Result;
