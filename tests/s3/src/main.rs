//! The job that the tests start, kill and stop: windows and sums over made-up records.

use riverrun::connectors::datagen::Datagen;
use riverrun::prelude::*;

#[derive(Deserialize)]
struct Settings {
    out: String,
    events: u64,
    /// Records a second; 0 is as fast as it goes.
    #[serde(default)]
    rate: u64,
}

fn main() -> ExitCode {
    riverrun::main("s3", pipeline)
}

fn pipeline(job: &Job) -> Result<()> {
    let Settings { out, events, rate } = job.settings()?;
    let folder = |name: &str| Files::write_json_lines(format!("{out}/{name}"));
    let made = Datagen::new(|i, chance| (chance.below(50), i as i64 * 10, chance.below(1000)))
        .seed(3)
        .count(events)
        .rate(rate)
        .event_time(
            |made| Timestamp::from_millis(made.1),
            Watermarks::bounded_out_of_orderness(secs(1)).without_wall_clock(),
        );
    let keyed = job.source("made", made).key_by(|made| made.0);
    let windows = keyed.clone().window(Sliding::of(secs(10)).every(secs(2)));
    windows.aggregate::<Count>("counts").sink("windows", folder("windows"));
    let sums = keyed.scan("sums", |sum: &mut u64, (key, at, value)| {
        *sum += value;
        (key, at, *sum)
    });
    sums.filter(|(_, at, _)| at % 500 == 0).sink("out", folder("sums"));
    Ok(())
}
