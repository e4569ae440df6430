//! What `check --online` says of a source: could it begin now, and for how long could it stand
//! still?

use std::time::Duration;

use riverrun_engine::outside::{About, Finding, Outside};
use riverrun_kafka::cluster::{Cluster, Right, Topic};
use riverrun_kafka::connection::Connection;

use super::error::KafkaSourceError;
use super::settings::{Settings, Topics};
use super::survey;
use crate::kafka::outside::{ANSWER, Needed, hidden, kept, refused, rights, said};

const READS: [Right; 2] = [Right::Read, Right::Describe];
/// A job that cannot be repaired within this time loses its place.
const KEPT_MIN: Duration = Duration::from_secs(3600);

pub(super) struct SourceOutside {
    pub(super) connection: Connection,
    pub(super) settings: Settings,
    pub(super) about: About,
}

impl SourceOutside {
    fn topics(&self) -> Result<(Cluster, Vec<Topic>), KafkaSourceError> {
        let mut cluster = Cluster::connect(&self.connection, self.settings.isolation, ANSWER)?;
        let topics = survey::topics(&mut cluster, &self.settings, &self.about.job)?;
        Ok((cluster, topics))
    }

    fn needed(&self) -> Vec<Needed<'_>> {
        let (brokers, rights) = (self.connection.brokers(), READS.as_slice());
        let names = match &self.settings.topics {
            Topics::Named(names) => names.as_slice(),
            Topics::Matching(_) => &[],
        };
        let needed = |name: &String| {
            let resource = format!("--topic {name}");
            Needed { brokers, resource, rights }
        };
        names.iter().map(needed).collect()
    }

    fn topic(&self, cluster: &mut Cluster, topic: &Topic, findings: &mut Vec<Finding>) {
        findings.push(rights(topic, self.connection.brokers(), &READS));
        match cluster.settings(&topic.name) {
            Err(error) => findings.push(Finding::bad(error.to_string(), "")),
            Ok(settings) if settings.is_empty() => {
                findings.push(hidden(&topic.name, self.connection.brokers()));
            }
            Ok(settings) => findings.extend(kept(&settings).map(|kept| {
                let what = format!("topic '{}' keeps records for {}", topic.name, said(kept));
                let then = "a job that stands still for longer cannot go on where it was";
                match kept < KEPT_MIN {
                    true => Finding::doubtful(format!("{what}: {then}"), "raise `retention.ms`"),
                    false => Finding::good(format!("{what}: {then}")),
                }
            })),
        }
    }

    /// Offsets are shown to a group, for whoever watches the job; nothing else stands on it.
    fn group(&self, cluster: &mut Cluster) -> Option<Finding> {
        let group: &str = &self.about.job;
        let resource = format!("--group {group}");
        let brokers = self.connection.brokers();
        let needed = Needed { brokers, resource, rights: &[Right::Read] };
        match cluster.group_rights(group) {
            Err(error) => Some(Finding::doubtful(error.to_string(), "")),
            Ok(told) => needed.missing(&told).map(|(what, remedy)| {
                Finding::doubtful(format!("{what}: its offsets are not shown to the group"), remedy)
            }),
        }
    }
}

impl Outside for SourceOutside {
    fn look(&mut self) -> Vec<Finding> {
        let (mut cluster, topics) = match self.topics() {
            Ok(found) => found,
            Err(KafkaSourceError::Cluster(error)) => {
                return vec![refused(&error, &self.needed())];
            }
            Err(error) => return vec![Finding::bad(error.to_string(), "")],
        };
        let mut findings = Vec::new();
        for topic in &topics {
            let what = format!("topic '{}' has {} partitions", topic.name, topic.partitions);
            findings.push(Finding::good(what));
            self.topic(&mut cluster, topic, &mut findings);
        }
        findings.extend(self.group(&mut cluster));
        let first = survey::of(&mut cluster, &self.settings, &topics)
            .and_then(|survey| survey.first(&self.settings));
        findings.push(match first {
            Err(error) => Finding::bad(error.to_string(), ""),
            Ok(splits) => {
                Finding::good(format!("a first start would read {} partitions", splits.len()))
            }
        });
        findings
    }
}
