//! A sensor fell silent: each reading sets a timer; when it fires and nothing has come since, there
//! is an alert, and a second one when the sensor speaks again. Event time makes the replay of a
//! year of measurements, in seconds, say the same as the live job would have.
//!
//! The measurements are real: `examples/data/README.md` says whose.
//! `cargo run --release --example sensor_alerts -- run`
use riverrun::prelude::*;

fn main() -> ExitCode {
    riverrun::main("sensor-alerts", pipeline)
}

fn pipeline(job: &Job) -> Result<()> {
    let Settings { out, input } = job.settings()?;
    let readings =
        Files::csv::<Reading>(&input).event_time(|reading| reading.at, Watermarks::monotonic());
    job.source("readings", readings)
        .key_by(|reading| reading.sensor.clone())
        .process("silence", Silence::open)
        .sink("alerts", Files::write_csv(format!("{out}/alerts")));
    Ok(())
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    out: String,
    input: String,
}

impl Default for Settings {
    fn default() -> Self {
        let input = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/sensors.csv").to_owned();
        Settings { out: "sensor-alerts-out".to_owned(), input }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Reading {
    sensor: String,
    at: Timestamp,
    value: f64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Alert {
    sensor: String,
    at: Timestamp,
    what: What,
    last_value: f64,
    silent_min: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Silent,
    Back,
}

/// Sensors report every hour; two and a half hours without a word are an alert.
const PATIENCE: std::time::Duration = minutes(150);

struct Silence {
    last: ValueState<Reading>,
    told: ValueState<()>,
}

impl Silence {
    fn open(op: &mut Declare<String>) -> Silence {
        Silence { last: op.value("last"), told: op.value("told") }
    }
}

impl ProcessFunction for Silence {
    type Key = String;
    type In = Reading;
    type Out = Alert;

    fn process(&mut self, reading: Reading, ctx: &mut Context<String, Alert>) -> Result<()> {
        if let Some(last) = self.last.get(ctx)?.cloned()
            && last.at + PATIENCE < reading.at
        {
            // The timer tells first, unless this reading overtook it: then it is told here.
            if self.told.take(ctx)?.is_none() {
                ctx.emit(alert(What::Silent, &last, last.at + PATIENCE));
            }
            ctx.emit(alert(What::Back, &last, reading.at));
        }
        ctx.set_timer(reading.at + PATIENCE);
        self.last.set(ctx, reading)
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<String, Alert>) -> Result<()> {
        let last = self.last.get(ctx)?.filter(|last| last.at + PATIENCE <= timer.at).cloned();
        if let Some(last) = last {
            ctx.emit(alert(What::Silent, &last, timer.at));
            self.told.set(ctx, ())?;
        }
        Ok(())
    }
}

fn alert(what: What, last: &Reading, at: Timestamp) -> Alert {
    let silent_min = (at - last.at).as_secs() / 60;
    Alert { sensor: last.sensor.clone(), at, what, last_value: last.value, silent_min }
}
