//! The Kafka sinks' part in the commit: Kafka decides.
//!
//! Recovery, in this order: nobody else has taken over meanwhile; the marker topic is there and as
//! it must be; every transactional id is fenced, so that whatever earlier attempts left open is
//! decided; only then the newest marker is read, up to the topic's stable end. The checkpoint it
//! names holds.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use riverrun_engine::Result;
use riverrun_engine::checkpoint::{CheckpointId, CheckpointName, Prepared};
use riverrun_engine::crash_point;
use riverrun_engine::sink::{Participant, Role, Superseded};
use riverrun_kafka::cluster::ClusterError;
use riverrun_kafka::marker::{MarkerError, ensure, read, read_visible};
use riverrun_kafka::send::Producer;

use super::gateway::Gateway;
use super::marker::{self, Marker};
use super::memory::Standing;
use super::slots;

/// How long the marker topic may take to answer.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a fenced run looks for the marker of the run that fenced it.
const LOOK: Duration = Duration::from_secs(5);

pub(super) struct KafkaParticipant {
    gateway: Arc<Gateway>,
    /// Fenced, not yet begun.
    slots: Vec<Arc<Producer>>,
}

impl KafkaParticipant {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        KafkaParticipant { gateway, slots: Vec::new() }
    }
}

impl Drop for KafkaParticipant {
    fn drop(&mut self) {
        self.gateway.close();
    }
}

impl Participant for KafkaParticipant {
    fn role(&self) -> Role {
        Role::Decides
    }

    fn visible(&mut self) -> BoxFuture<'_, Result<Option<Option<CheckpointName>>>> {
        if self.gateway.memory.has_marked() {
            // This run has owned the job: whether it still does is judged before it fences.
            return Box::pin(std::future::ready(Ok(None)));
        }
        let gateway = self.gateway.clone();
        let seen = self.gateway.ctx.blocking(move || {
            let topic = marker::topic(&gateway.ctx.job);
            match newest_visible(&gateway, &topic) {
                Err(error) if is_missing(&error) => Ok(None),
                newest => newest,
            }
        });
        Box::pin(async move { Ok(Some(seen.await?.map(|marker| marker.name()))) })
    }

    fn decided(&mut self) -> BoxFuture<'_, Result<Option<CheckpointName>>> {
        let gateway = self.gateway.clone();
        let fenced = self.gateway.ctx.blocking(move || fence(&gateway));
        Box::pin(async move {
            let (slots, newest) = fenced.await?;
            self.slots = slots;
            Ok(newest.map(|marker| marker.name()))
        })
    }

    fn recover(
        &mut self,
        checkpoint: Option<CheckpointName>,
        _prepared: Vec<Prepared>,
    ) -> BoxFuture<'_, Result<()>> {
        let (gateway, slots) = (self.gateway.clone(), std::mem::take(&mut self.slots));
        Box::pin(self.gateway.ctx.blocking(move || gateway.begin(slots, checkpoint.as_ref())))
    }

    fn commit(
        &mut self,
        checkpoint: CheckpointId,
        _prepared: Vec<Prepared>,
    ) -> BoxFuture<'_, Result<()>> {
        let gateway = self.gateway.clone();
        Box::pin(self.gateway.ctx.blocking(move || gateway.commit(checkpoint)))
    }
}

type Fenced = (Vec<Arc<Producer>>, Option<Marker>);

fn fence(gateway: &Gateway) -> Result<Fenced> {
    let topic = marker::topic(&gateway.ctx.job);
    ensure(&gateway.connection, &topic, ANSWER)?;
    if gateway.memory.has_marked() {
        still_owner(gateway, &topic)?;
        gateway.memory.forgive();
    }
    let slots = slots::all_fenced(gateway).context("fencing earlier attempts")?;
    crash_point!("kafka.fenced");
    let newest = Marker::newest(&topic, &read(&gateway.connection, &topic, ANSWER)?)?;
    crash_point!("kafka.marker.read");
    if let Some(newest) = &newest {
        tracing::info!(checkpoint = %newest.name().checkpoint, attempt = newest.attempt,
            "the newest marker");
    }
    Ok((slots, newest))
}

/// Whether the topic is not there (yet).
fn is_missing(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<MarkerError>(),
        Some(MarkerError::Cluster(ClusterError::NoTopic { .. }))
    )
}

/// Before this run fences anybody: was it fenced itself?
fn still_owner(gateway: &Gateway, topic: &str) -> Result<()> {
    let began = gateway.ctx.clock.monotonic();
    loop {
        let newest = newest_visible(gateway, topic)?;
        match gateway.memory.standing(newest.as_ref(), gateway.timeout) {
            Standing::Owner => return Ok(()),
            Standing::Superseded => {
                let by = newest.map(|marker| marker.attempt).unwrap_or_default();
                return Err(
                    Superseded(format!("attempt {by} has written the newest marker")).into()
                );
            }
            Standing::Fenced => {
                if gateway.ctx.clock.monotonic().saturating_sub(began) >= LOOK {
                    let why =
                        "its producers were fenced long before their transaction could expire";
                    return Err(Superseded(why.to_owned()).into());
                }
                slots::rest(Duration::from_millis(200));
            }
        }
    }
}

/// Without fencing: what other runs have open is theirs to decide.
fn newest_visible(gateway: &Gateway, topic: &str) -> Result<Option<Marker>> {
    let read = read_visible(&gateway.connection, topic, ANSWER)?;
    Marker::newest(topic, &read)
}
