//! The look for partitions that came up: now and then, on a thread for blocking work.
//!
//! One subtask of a source looks for all. What it finds goes to the registry; that a topic was made
//! anew is an error; a cluster that does not answer is asked again the next time.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_kafka::cluster::{ClusterError, Partition};
use riverrun_kafka::connection::Connection;

use super::error::KafkaSourceError;
use super::registry::Registry;
use super::settings::Settings;
use super::survey::{self, Seen};

type Looked = Result<BTreeMap<Partition, Seen>>;

enum Step {
    Rest(BoxFuture<'static, ()>),
    Look(BoxFuture<'static, Looked>),
}

/// Where the look stands.
pub(super) struct Looking {
    connection: Connection,
    step: Option<Step>,
    failed: Option<anyhow::Error>,
}

impl Looking {
    pub(super) fn new(connection: Connection) -> Self {
        Looking { connection, step: None, failed: None }
    }

    /// Why reading must not go on.
    pub(super) fn failure(&mut self) -> Option<anyhow::Error> {
        self.failed.take()
    }

    /// Goes on as far as that needs no waiting. Ready when something came of it.
    pub(super) fn poll(
        &mut self,
        ctx: &TaskContext,
        settings: &Settings,
        registry: &Registry,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            if self.failed.is_some() {
                return Poll::Ready(());
            }
            match &mut self.step {
                None => self.step = Some(Step::Rest(ctx.sleep.sleep(settings.discover_every))),
                Some(Step::Rest(rest)) => {
                    futures::ready!(rest.poll_unpin(cx));
                    self.step = Some(Step::Look(self.begin(ctx, settings, registry)));
                }
                Some(Step::Look(look)) => {
                    let looked = futures::ready!(look.poll_unpin(cx));
                    self.step = None;
                    match looked {
                        Ok(found) if found.is_empty() => {}
                        Ok(found) => {
                            registry.found(ctx, settings, found);
                            return Poll::Ready(());
                        }
                        Err(error) if passes(&error) => {
                            let (source, error) = (&ctx.uid, format!("{error:#}"));
                            tracing::warn!(%source, error, "new partitions were not looked for");
                        }
                        Err(error) => self.failed = Some(error),
                    }
                }
            }
        }
    }

    fn begin(
        &self,
        ctx: &TaskContext,
        settings: &Settings,
        registry: &Registry,
    ) -> BoxFuture<'static, Looked> {
        let known = registry.partitions(ctx);
        let (connection, settings) = (self.connection.clone(), settings.clone());
        let job = ctx.job.clone();
        let look = move || Ok(survey::look_again(&connection, &settings, &job, &known)?);
        ctx.blocking(look).boxed()
    }
}

/// Whether the next look may bring what this one did not: reading goes on meanwhile, and tells by
/// itself when a topic is gone.
fn passes(error: &anyhow::Error) -> bool {
    !matches!(
        error.downcast_ref(),
        Some(
            KafkaSourceError::OtherTopic { .. }
                | KafkaSourceError::Cluster(ClusterError::NoTopic { .. })
        )
    )
}
