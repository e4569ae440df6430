//! Visits of a web shop: clicks become sessions, which end after thirty minutes of silence. Clicks
//! that come too late for their session go to a file of their own instead of vanishing.
//!
//! `cargo run --release --example click_sessions -- run`
use riverrun::connectors::datagen::{Chance, Datagen};
use riverrun::prelude::*;

const LATE: SideOutput<Click> = SideOutput::new("late");

fn main() -> ExitCode {
    riverrun::main("click-sessions", pipeline)
}

fn pipeline(job: &Job) -> Result<()> {
    let Settings { out, seed, events, rate } = job.settings()?;
    let folder = |name: &str| Files::write_json_lines(format!("{out}/{name}"));
    let clicks = Datagen::new(click)
        .seed(seed)
        .count(events)
        .rate(rate)
        .event_time(|click| click.at, Watermarks::bounded_out_of_orderness(minutes(1)));

    let sessions = job
        .source("clicks", clicks)
        .key_by(|click| click.visitor)
        .window(Session::gap(minutes(30)))
        .late_to(LATE)
        .aggregate::<Visit>("sessions");
    sessions.side_output(LATE).sink("late", folder("late"));
    sessions.sink("visits", folder("visits"));
    Ok(())
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    out: String,
    seed: u64,
    events: u64,
    rate: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { out: "click-sessions-out".to_owned(), seed: 7, events: 500_000, rate: 0 }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Click {
    visitor: u64,
    page: u16,
    buys: bool,
    at: Timestamp,
}

/// What a visitor did in one go.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Visit {
    clicks: u64,
    bought: u64,
}

impl Aggregate<Click> for Visit {
    fn add(&mut self, click: &Click) {
        self.clicks += 1;
        self.bought += u64::from(click.buys);
    }
    fn merge(&mut self, other: Visit) {
        self.clicks += other.clicks;
        self.bought += other.bought;
    }
}

/// Ten clicks a second. A visitor clicks for some minutes and comes back hours later. One click in
/// a thousand was held up on the visitor's phone for a day: it is too late for any session.
fn click(i: u64, chance: &mut Chance) -> Click {
    let ms = i as i64 * 100;
    let awake = i / 6_000 * 40;
    let visitor = (awake + chance.below(200)) % 2_000;
    let disorder = chance.below(30_000) as i64;
    let held_up = i > 900_000 / 100 && chance.below(1_000) == 0;
    let delay = if held_up { 24 * 3_600_000 } else { disorder };
    let (page, buys) = (chance.below(500) as u16, chance.below(40) == 0);
    Click { visitor, page, buys, at: Timestamp::from_millis(1_700_000_000_000 + ms - delay) }
}
