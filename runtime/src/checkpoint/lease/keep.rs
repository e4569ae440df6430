//! The object of a lease: how it is read, taken, written anew and given back. Called by the lease's
//! thread ([`super::Lease`]), which does nothing else.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::super::lock::{LockError, LockInfo, describe};
use super::{Fence, Moment, State, Times};
use crate::doors;

pub(super) const OBJECT: &str = "LOCK";

/// What the object says. Every write is another text, so that its version is another too.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Text {
    pub(super) holder: LockInfo,
    /// Counts the writes of this holder.
    pub(super) beat: u64,
    /// Given back.
    pub(super) free: bool,
}

/// What the object says, and which version of it that is.
pub(super) async fn look(
    objects: &dyn ObjectStore,
    path: &str,
) -> Result<Option<(Text, UpdateVersion)>, LockError> {
    let failed = |reason: String| LockError::Lease { path: path.to_owned(), reason };
    let found = match objects.get(&Path::from(OBJECT)).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    let (e_tag, version) = (found.meta.e_tag.clone(), found.meta.version.clone());
    let bytes = found.bytes().await.map_err(|e| failed(e.to_string()))?;
    let text = serde_json::from_slice(&bytes);
    let text = text.map_err(|e| failed(format!("its text is none of ours: {e}")))?;
    Ok(Some((text, UpdateVersion { e_tag, version })))
}

async fn write(objects: &dyn ObjectStore, text: &Text, mode: PutMode) -> Written {
    let bytes = serde_json::to_vec_pretty(text).expect("a text of plain fields");
    let put = objects.put_opts(&Path::from(OBJECT), PutPayload::from(bytes), mode.into()).await;
    match put {
        Ok(put) => Written::Done(UpdateVersion { e_tag: put.e_tag, version: put.version }),
        Err(
            object_store::Error::AlreadyExists { .. }
            | object_store::Error::Precondition { .. }
            | object_store::Error::NotFound { .. },
        ) => Written::Overtaken,
        Err(error) => Written::Failed(error.to_string()),
    }
}

enum Written {
    Done(UpdateVersion),
    /// Another version is there: another's, or our own of a write whose answer was lost.
    Overtaken,
    Failed(String),
}

/// Takes the lock, as soon as that may be.
pub(super) async fn take(
    objects: Arc<dyn ObjectStore>,
    path: &str,
    info: LockInfo,
    times: Times,
) -> Result<Keeper, LockError> {
    let failed = |reason: String| LockError::Lease { path: path.to_owned(), reason };
    let mut waiting: Option<(UpdateVersion, Duration)> = None;
    let text = Text { holder: info, beat: 0, free: false };
    // Ends within the lease and some looks: what is found either changes or does not.
    loop {
        let now = Moment::now();
        let mode = match look(objects.as_ref(), path).await? {
            None => Some(PutMode::Create),
            Some((found, version)) if found.holder.attempt == text.holder.attempt => {
                return Ok(Keeper::new(objects, text, version, now, times));
            }
            Some((found, version)) if found.free => Some(PutMode::Update(version)),
            Some((found, version)) => match &waiting {
                Some((before, _)) if *before != version => {
                    let holder = describe(&found.holder);
                    return Err(LockError::Held { path: path.to_owned(), holder });
                }
                Some((_, since)) if doors::monotonic().saturating_sub(*since) >= times.lease => {
                    Some(PutMode::Update(version))
                }
                Some(_) => None,
                None => {
                    let (holder, lease_ms) = (describe(&found.holder), times.lease.as_millis());
                    tracing::info!(path, holder, lease_ms, "locked: waiting for a sign of life");
                    waiting = Some((version, doors::monotonic()));
                    None
                }
            },
        };
        if let Some(mode) = mode {
            let sent = Moment::now();
            match write(objects.as_ref(), &text, mode).await {
                Written::Done(version) => {
                    return Ok(Keeper::new(objects, text, version, sent, times));
                }
                Written::Overtaken => {}
                Written::Failed(reason) => return Err(failed(reason)),
            }
        }
        tokio::time::sleep(times.look).await;
    }
}

/// Writes the lock anew until it is given back or lost.
pub(super) struct Keeper {
    objects: Arc<dyn ObjectStore>,
    pub(super) fence: Fence,
    text: Text,
    version: UpdateVersion,
    times: Times,
}

impl Keeper {
    fn new(
        objects: Arc<dyn ObjectStore>,
        text: Text,
        version: UpdateVersion,
        written: Moment,
        times: Times,
    ) -> Self {
        let state = State { holder: text.holder.clone(), written, lost_to: None };
        let fence = Fence { state: Arc::new(Mutex::new(state)), trust: times.trust };
        Keeper { objects, fence, text, version, times }
    }

    pub(super) async fn keep(&mut self, mut over: oneshot::Receiver<()>) {
        let mut pause = self.times.renew;
        loop {
            tokio::select! {
                _ = &mut over => break,
                () = tokio::time::sleep(pause) => {}
            }
            // A stop does not wait for storage that does not answer.
            let renewed = tokio::select! {
                _ = &mut over => break,
                renewed = tokio::time::timeout(self.times.trust, self.renew()) => renewed,
            };
            pause = if matches!(renewed, Ok(true)) { self.times.renew } else { self.times.look };
            if self.fence.state().lost_to.is_some() {
                return;
            }
        }
        self.text.free = true;
        self.text.beat += 1;
        let freed = PutMode::Update(self.version.clone());
        let freed = write(self.objects.as_ref(), &self.text, freed);
        // Not given back, it is free when the lease is over.
        drop(tokio::time::timeout(self.times.renew, freed).await);
    }

    /// Writes it once; whether that is certain.
    async fn renew(&mut self) -> bool {
        self.text.holder = self.fence.state().holder.clone();
        self.text.beat += 1;
        let (sent, mode) = (Moment::now(), PutMode::Update(self.version.clone()));
        match write(self.objects.as_ref(), &self.text, mode).await {
            Written::Done(version) => {
                self.version = version;
                self.fence.state().written = sent;
                true
            }
            Written::Overtaken => self.overtaken().await,
            Written::Failed(reason) => {
                tracing::warn!(reason, "the lock could not be renewed; trying again");
                false
            }
        }
    }

    async fn overtaken(&mut self) -> bool {
        let Ok(found) = look(self.objects.as_ref(), OBJECT).await else { return false };
        match found {
            // A write of ours has arrived whose answer had not: on from there.
            Some((text, version)) if text.holder.attempt == self.text.holder.attempt => {
                self.version = version;
                false
            }
            found => {
                let holder = found.map(|(text, _)| describe(&text.holder));
                let holder = holder.unwrap_or_else(|| "nobody: the lock was removed".to_owned());
                tracing::error!(holder, "another run has taken the lock of the checkpoints");
                self.fence.state().lost_to = Some(holder);
                false
            }
        }
    }
}
