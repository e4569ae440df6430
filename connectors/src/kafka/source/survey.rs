//! What a cluster has of a source's topics, and what follows from it: where each partition begins
//! and ends, and whether an offset of a checkpoint still means what it meant.
//!
//! [`take`] and [`look_again`] ask, on a thread for blocking work; everything else decides, without
//! I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use riverrun_engine::rehearsal::RUN_PREFIX;
use riverrun_kafka::cluster::{Cluster, Partition, Reach, Topic};
use riverrun_kafka::connection::Connection;

use super::error::KafkaSourceError;
use super::settings::{End, Offsets, Settings, Start, Topics};
use super::split::{KafkaOffset, KafkaSplit};

/// How long each question may take: a broker that restarts is back by then.
const LIMIT: Duration = Duration::from_secs(30);

/// One partition as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) topic_id: Option<String>,
    pub(super) reach: Reach,
    /// Where `Start::Timestamp` begins.
    pub(super) at: Option<i64>,
}

/// All partitions of a source as they are now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Survey {
    pub(super) brokers: String,
    pub(super) cluster: String,
    pub(super) partitions: BTreeMap<Partition, Seen>,
}

/// The topics that the source reads.
pub(super) fn topics(
    cluster: &mut Cluster,
    settings: &Settings,
    job: &str,
) -> Result<Vec<Topic>, KafkaSourceError> {
    let regex = settings.topics.check()?;
    let mut names = match &settings.topics {
        Topics::Named(names) => names.clone(),
        Topics::Matching(_) => cluster.topics()?,
    };
    if let Some(regex) = regex {
        let commits = format!("{job}-commit");
        let own = |name: &str| ["__", RUN_PREFIX].iter().any(|prefix| name.starts_with(prefix));
        names.retain(|name| regex.is_match(name) && !own(name) && *name != commits);
        if names.is_empty() {
            let (pattern, brokers) = (regex.to_string(), cluster.brokers().to_owned());
            return Err(KafkaSourceError::NoMatch { pattern, brokers });
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(cluster.describe(&names)?)
}

fn partitions(topics: &[Topic]) -> Vec<(Partition, Option<String>)> {
    let of = |topic: &Topic| {
        let (name, id) = (topic.name.clone(), topic.id.clone());
        (0..topic.partitions)
            .map(move |number| (Partition { topic: name.clone(), number }, id.clone()))
    };
    topics.iter().flat_map(of).collect()
}

fn see(
    cluster: &mut Cluster,
    found: Vec<(Partition, Option<String>)>,
    start: &Start,
) -> Result<BTreeMap<Partition, Seen>, KafkaSourceError> {
    let names: Vec<_> = found.iter().map(|(partition, _)| partition.clone()).collect();
    let reach = cluster.reach(&names)?;
    let at = match start {
        Start::Timestamp(at) => cluster.offsets_at(&names, at.as_millis())?,
        _ => vec![None; names.len()],
    };
    let seen = found.into_iter().zip(reach).zip(at);
    Ok(seen.map(|(((p, topic_id), reach), at)| (p, Seen { topic_id, reach, at })).collect())
}

/// Asks for everything.
pub(super) fn take(
    connection: &Connection,
    settings: &Settings,
    job: &str,
) -> Result<Survey, KafkaSourceError> {
    let mut cluster = Cluster::connect(connection, settings.isolation, LIMIT)?;
    let topics = topics(&mut cluster, settings, job)?;
    of(&mut cluster, settings, &topics)
}

/// Asks for everything of these topics.
pub(super) fn of(
    cluster: &mut Cluster,
    settings: &Settings,
    topics: &[Topic],
) -> Result<Survey, KafkaSourceError> {
    let partitions = see(cluster, partitions(topics), &settings.start)?;
    Ok(Survey { brokers: cluster.brokers().to_owned(), cluster: cluster.id()?, partitions })
}

/// Asks for the partitions that are not in `known`, `(partition, topic id)`, and makes sure that
/// the topics of those that are have not been made anew.
pub(super) fn look_again(
    connection: &Connection,
    settings: &Settings,
    job: &str,
    known: &BTreeMap<Partition, Option<String>>,
) -> Result<BTreeMap<Partition, Seen>, KafkaSourceError> {
    let mut cluster = Cluster::connect(connection, settings.isolation, LIMIT)?;
    let mut found = partitions(&topics(&mut cluster, settings, job)?);
    for (partition, id) in &found {
        if let (Some(Some(saved)), Some(is)) = (known.get(partition), id)
            && saved != is
        {
            let reach = cluster.reach(std::slice::from_ref(partition))?;
            let reach = reach.first().copied().unwrap_or(Reach { low: 0, end: 0 });
            let (partition, saved, is) = (partition.clone(), saved.clone(), is.clone());
            let offset = reach.low;
            return Err(KafkaSourceError::OtherTopic { partition, saved, is, offset, reach });
        }
    }
    found.retain(|(partition, _)| !known.contains_key(partition));
    see(&mut cluster, found, &Start::Earliest)
}

fn given(offsets: &Offsets, partition: &Partition) -> Option<i64> {
    offsets.get(&(partition.topic.to_string(), partition.number)).copied()
}

impl Survey {
    /// What is read of `partition` from `start` on; `None` when the source has no end there, but
    /// ends elsewhere.
    fn split(&self, settings: &Settings, place: &Partition, seen: &Seen, start: i64) -> KafkaSplit {
        KafkaSplit {
            topic: place.topic.to_string(),
            partition: place.number,
            cluster: self.cluster.clone(),
            topic_id: seen.topic_id.clone(),
            start,
            end: self.end(settings, place, None),
        }
    }

    /// Where `place` ends; `saved` is what the checkpoint says.
    pub(super) fn end(
        &self,
        settings: &Settings,
        place: &Partition,
        saved: Option<i64>,
    ) -> Option<i64> {
        match &settings.end {
            End::Never => None,
            End::Latest => saved.or_else(|| Some(self.partitions.get(place)?.reach.end)),
            End::Offsets(ends) => given(ends, place),
        }
    }

    /// The splits of a first start.
    ///
    /// # Errors
    /// Offsets that were asked for and are not there; partitions without one.
    pub(super) fn first(&self, settings: &Settings) -> Result<Vec<KafkaSplit>, KafkaSourceError> {
        self.asked_for(settings)?;
        let mut splits = Vec::new();
        for (place, seen) in self.read(settings) {
            let Reach { low, end } = seen.reach;
            let start = match &settings.start {
                Start::Earliest => low,
                Start::Latest => end,
                Start::Timestamp(_) => seen.at.unwrap_or(end),
                Start::Offsets(starts) => match given(starts, place) {
                    Some(start) => start,
                    None => {
                        let reason = format!(
                            "`Start::Offsets(..)` has no offset for {place}, which reaches from \
                             {low} to {end}: give one for every partition"
                        );
                        return Err(KafkaSourceError::Setting { reason });
                    }
                },
            };
            let split = self.split(settings, place, seen, start);
            self.check(&split, KafkaOffset { next: start })?;
            splits.push(split);
        }
        Ok(splits)
    }

    /// The splits of a start from a checkpoint, which itself says more of those it has: partitions
    /// that came up since begin at their first record.
    pub(super) fn again(&self, settings: &Settings) -> Vec<KafkaSplit> {
        let split =
            |(place, seen): (&Partition, &Seen)| self.split(settings, place, seen, seen.reach.low);
        self.read(settings).map(split).collect()
    }

    /// The splits of another first start, of the same process, that began as `first` says: what is
    /// not there yet in a checkpoint begins where it began, and what came up since at its first
    /// record. `Start::Earliest` may move on with retention.
    pub(super) fn after(&self, settings: &Settings, first: Vec<KafkaSplit>) -> Vec<KafkaSplit> {
        let mut splits: BTreeMap<Partition, KafkaSplit> =
            self.again(settings).into_iter().map(|split| (split.place(), split)).collect();
        if settings.start != Start::Earliest {
            splits.extend(first.into_iter().map(|split| (split.place(), split)));
        }
        splits.into_values().collect()
    }

    fn read(&self, settings: &Settings) -> impl Iterator<Item = (&Partition, &Seen)> {
        let read = move |place: &Partition| match &settings.end {
            End::Offsets(ends) => given(ends, place).is_some(),
            End::Never | End::Latest => true,
        };
        self.partitions.iter().filter(move |(place, _)| read(place))
    }

    /// Offsets given for partitions that are not there are a mistake.
    fn asked_for(&self, settings: &Settings) -> Result<(), KafkaSourceError> {
        let places = |offsets: &Offsets| offsets.keys().cloned().collect::<BTreeSet<_>>();
        let mut asked = BTreeSet::new();
        if let Start::Offsets(offsets) = &settings.start {
            asked.extend(places(offsets));
        }
        if let End::Offsets(offsets) = &settings.end {
            asked.extend(places(offsets));
        }
        for (topic, number) in asked {
            let place = Partition { topic: topic.into(), number };
            if !self.partitions.contains_key(&place) {
                let reason = format!("an offset is given for {place}, which is not there");
                return Err(KafkaSourceError::Setting { reason });
            }
        }
        Ok(())
    }

    /// Whether `split` can be read on from `offset`.
    ///
    /// # Errors
    /// Another cluster, another topic, records that are gone, a partition that ends before.
    pub(super) fn check(
        &self,
        split: &KafkaSplit,
        offset: KafkaOffset,
    ) -> Result<(), KafkaSourceError> {
        let (partition, offset) = (split.place(), offset.next);
        if split.cluster != self.cluster {
            return Err(KafkaSourceError::OtherCluster {
                partition,
                offset,
                saved: split.cluster.clone(),
                is: self.cluster.clone(),
                brokers: self.brokers.clone(),
            });
        }
        let Some(Seen { topic_id, reach, .. }) = self.partitions.get(&partition) else {
            return Err(KafkaSourceError::Missing { partition, offset });
        };
        let reach = *reach;
        if let (Some(saved), Some(is)) = (&split.topic_id, topic_id)
            && saved != is
        {
            let (saved, is) = (saved.clone(), is.clone());
            return Err(KafkaSourceError::OtherTopic { partition, saved, is, offset, reach });
        }
        if offset < reach.low {
            return Err(KafkaSourceError::Lost { partition, saved: offset, reach });
        }
        if offset > reach.end {
            return Err(KafkaSourceError::Ahead { partition, saved: offset, reach });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use riverrun_engine::time::Timestamp;

    use super::*;

    fn survey(reaches: &[(i64, i64)]) -> Survey {
        let one = |(number, (low, end)): (i32, &(i64, i64))| {
            let reach = Reach { low: *low, end: *end };
            let seen = Seen { topic_id: Some("id".to_owned()), reach, at: None };
            (Partition { topic: "t".into(), number }, seen)
        };
        let partitions = (0..).zip(reaches).map(one).collect();
        Survey { brokers: "b:1".to_owned(), cluster: "c".to_owned(), partitions }
    }

    fn settings(start: Start, end: End) -> Settings {
        Settings { start, end, ..Settings::new("t".into()) }
    }

    fn offsets(of: &[(i32, i64)]) -> Offsets {
        of.iter().map(|(number, offset)| (("t".to_owned(), *number), *offset)).collect()
    }

    fn places(splits: Vec<KafkaSplit>) -> Vec<(i32, i64, Option<i64>)> {
        splits.into_iter().map(|split| (split.partition, split.start, split.end)).collect()
    }

    #[test]
    fn every_start_and_end_becomes_a_number() {
        let mut survey = survey(&[(3, 9), (0, 0)]);
        let first = |survey: &Survey, start: Start, end: End| {
            survey.first(&settings(start, end)).map(places)
        };
        let earliest = first(&survey, Start::Earliest, End::Never);
        assert_eq!(earliest, Ok(vec![(0, 3, None), (1, 0, None)]));
        let latest = first(&survey, Start::Latest, End::Latest);
        assert_eq!(latest, Ok(vec![(0, 9, Some(9)), (1, 0, Some(0))]));
        let given = Start::Offsets(offsets(&[(0, 4), (1, 0)]));
        let one = End::Offsets(offsets(&[(0, 7)]));
        assert_eq!(first(&survey, given, one), Ok(vec![(0, 4, Some(7))]));
        survey.partitions.values_mut().next().expect("one").at = Some(5);
        let at = first(&survey, Start::Timestamp(Timestamp::from_millis(1)), End::Never);
        assert_eq!(at, Ok(vec![(0, 5, None), (1, 0, None)]));
        let again = survey.again(&settings(Start::Latest, End::Never));
        assert_eq!(places(again), [(0, 3, None), (1, 0, None)], "the new begin at the first");
    }

    #[test]
    fn offsets_that_were_asked_for_must_be_there() {
        let survey = survey(&[(3, 9), (0, 0)]);
        for (start, says) in [
            (offsets(&[(0, 2), (1, 0)]), "RR0722"),
            (offsets(&[(0, 10), (1, 0)]), "RR0723"),
            (offsets(&[(0, 3)]), "t/1"),
            (offsets(&[(0, 3), (1, 0), (2, 0)]), "t/2"),
        ] {
            let error = survey.first(&settings(Start::Offsets(start), End::Never));
            let error = error.expect_err("refused").to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_saved_offset_must_mean_what_it_meant() {
        let survey = survey(&[(3, 9)]);
        let split =
            survey.first(&settings(Start::Earliest, End::Never)).expect("is there").remove(0);
        let check = |split: &KafkaSplit, next| {
            survey.check(split, KafkaOffset { next }).map_err(|error| error.to_string())
        };
        assert_eq!((check(&split, 3), check(&split, 9)), (Ok(()), Ok(())));
        let other = |change: fn(&mut KafkaSplit)| {
            let mut split = split.clone();
            change(&mut split);
            split
        };
        for (split, next, parts) in [
            (split.clone(), 2, ["RR0722", "t/0", "offset 2", "record is 3", "--drop-state"]),
            (split.clone(), 10, ["RR0723", "t/0", "offset 10", "ends at 9", "--drop-state"]),
            (other(|s| s.cluster = "d".into()), 5, ["RR0725", "t/0", "'d'", "'c'", "b:1"]),
            (
                other(|s| s.topic_id = Some("x".into())),
                5,
                ["RR0724", "t/0", "'x'", "'id'", "3 to 9"],
            ),
            (other(|s| s.partition = 8), 5, ["RR0727", "t/8", "offset 5", "deleted", "--drop"]),
        ] {
            let error = check(&split, next).expect_err("refused");
            for part in parts {
                assert!(error.contains(part), "{part} in {error}");
            }
        }
        assert_eq!(check(&other(|s| s.topic_id = None), 5), Ok(()), "an old broker did not tell");
    }
}
