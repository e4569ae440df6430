//! What the runs of a drill read: every partition from one number to another, settled once, so
//! that the oracle and each life read the same whatever is written or deleted meanwhile.
//!
//! [`KafkaSlicing`] settles it for the command `drill`; [`apply`] makes a rehearsed run read that
//! and nothing else. No group sees any of it.

use riverrun_engine::Result;
use riverrun_engine::rehearsal::{Slice, Slicing};
use riverrun_kafka::connection::Connection;
use serde::{Deserialize, Serialize};

use super::error::KafkaSourceError;
use super::settings::{End, Settings, Start, Topics};
use super::survey::{self, Survey};

/// As many partitions are not told one by one.
const TOLD_MAX: usize = 9;

/// One partition of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Piece {
    topic: String,
    partition: i32,
    /// The first offset.
    start: i64,
    /// One past the last.
    end: i64,
}

impl Piece {
    fn length(&self) -> u64 {
        u64::try_from(self.end - self.start).unwrap_or(0)
    }
}

/// Settles what is read of one source.
pub(super) struct KafkaSlicing {
    pub(super) connection: Connection,
    pub(super) settings: Settings,
    pub(super) job: String,
}

impl Slicing for KafkaSlicing {
    fn fix(&mut self, records_max: u64) -> Result<Slice> {
        let survey = survey::take(&self.connection, &self.settings, &self.job)?;
        let pieces = cut(&survey, &self.settings, records_max)?;
        let told = |piece: &Piece| {
            let Piece { topic, partition, start, end } = piece;
            format!("{topic}/{partition} from {start} to {end}")
        };
        Ok(Slice {
            text: serde_json::to_string(&pieces)?,
            records: pieces.iter().map(Piece::length).sum(),
            told: match pieces.len() {
                many @ TOLD_MAX.. => format!("{many} partitions"),
                _ => pieces.iter().map(told).collect::<Vec<_>>().join(", "),
            },
        })
    }
}

/// About `records_max` records from where the source begins; the last ones, where it begins
/// behind all there are.
fn cut(
    survey: &Survey,
    settings: &Settings,
    records_max: u64,
) -> Result<Vec<Piece>, KafkaSourceError> {
    let from_end = settings.start == Start::Latest;
    let mut pieces = Vec::new();
    for split in survey.first(settings)? {
        let reach = survey.partitions[&split.place()].reach;
        let start = if from_end { reach.low } else { split.start };
        let end = split.end.map_or(reach.end, |end| end.min(reach.end)).max(start);
        pieces.push(Piece { topic: split.topic, partition: split.partition, start, end });
    }
    // What short partitions leave goes to the longer ones.
    pieces.sort_by_key(Piece::length);
    let (mut left, mut others) = (records_max, pieces.len() as u64);
    for piece in &mut pieces {
        let share = left.div_ceil(others.max(1)).min(piece.length());
        (left, others) = (left - share, others - 1);
        let share = i64::try_from(share).unwrap_or(i64::MAX);
        match from_end {
            true => piece.start = piece.end - share,
            false => piece.end = piece.start + share,
        }
    }
    pieces.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(pieces)
}

/// The settings of a source that reads the slice `text` and ends.
///
/// # Errors
/// A text that is no slice.
pub(super) fn apply(settings: &Settings, text: &str) -> Result<Settings> {
    let pieces: Vec<Piece> = serde_json::from_str(text)?;
    let mut names: Vec<String> = pieces.iter().map(|piece| piece.topic.clone()).collect();
    names.dedup();
    let place = |piece: &Piece| (piece.topic.clone(), piece.partition);
    Ok(Settings {
        topics: Topics::Named(names),
        start: Start::Offsets(pieces.iter().map(|piece| (place(piece), piece.start)).collect()),
        end: End::Offsets(pieces.iter().map(|piece| (place(piece), piece.end)).collect()),
        ..settings.clone()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use riverrun_kafka::cluster::{Partition, Reach};

    use super::super::survey::Seen;
    use super::*;

    fn survey(reaches: &[(i64, i64)]) -> Survey {
        let one = |(number, (low, end)): (i32, &(i64, i64))| {
            let seen = Seen { topic_id: None, reach: Reach { low: *low, end: *end }, at: None };
            (Partition { topic: "t".into(), number }, seen)
        };
        let partitions: BTreeMap<_, _> = (0..).zip(reaches).map(one).collect();
        Survey { brokers: "b:1".to_owned(), cluster: "c".to_owned(), partitions }
    }

    fn pieces(start: Start, end: End, most: u64) -> Vec<(i64, i64)> {
        let settings = Settings { start, end, ..Settings::new("t".into()) };
        let cut = cut(&survey(&[(5, 105), (0, 2), (0, 0)]), &settings, most).expect("is there");
        cut.iter().map(|piece| (piece.start, piece.end)).collect()
    }

    #[test]
    fn a_slice_has_about_so_many_records_from_where_the_source_begins() {
        let all = [(5, 105), (0, 2), (0, 0)];
        assert_eq!(pieces(Start::Earliest, End::Never, 1000), all);
        assert_eq!(pieces(Start::Earliest, End::Latest, 1000), all);
        assert_eq!(pieces(Start::Earliest, End::Never, 10), [(5, 13), (0, 2), (0, 0)]);
        assert_eq!(pieces(Start::Latest, End::Never, 10), [(97, 105), (0, 2), (0, 0)]);
        let end = End::Offsets([(("t".to_owned(), 0), 900)].into());
        assert_eq!(pieces(Start::Earliest, end, 1000), [(5, 105)], "no record is waited for");
    }

    #[test]
    fn a_run_reads_the_slice_and_nothing_else_and_ends() {
        let settings = Settings::new(Topics::matching("t.*"));
        let whole = survey(&[(5, 105), (0, 0)]);
        let pieces = cut(&whole, &Settings::new("t".into()), 10).expect("is there");
        let text = serde_json::to_string(&pieces).expect("JSON");
        let applied = apply(&settings, &text).expect("a slice");
        assert!(applied.is_bounded() && applied.check().is_ok());
        let later = survey(&[(5, 500), (0, 70), (0, 8)]);
        let splits = later.first(&applied).expect("are there");
        let read: Vec<_> = splits.iter().map(|split| (split.start, split.end)).collect();
        assert_eq!(read, [(5, Some(15)), (0, Some(0))]);
        assert!(apply(&settings, "no").is_err());
    }
}
