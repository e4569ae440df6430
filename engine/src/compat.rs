//! May this job restore that checkpoint? Facts in, decision out, no I/O.
//!
//! Rules: an added operator or state starts empty. State that the job no longer has is refused
//! unless it is given up by name. State whose codec, kind, key or value type changed is refused
//! unless the new type reads the old one (fields added) or a migration is declared. A time to live
//! may become longer or shorter; where it comes, goes or follows another clock, only a migration
//! can say when each entry ends.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::graph::{Graph, Uid};
use crate::state::{StateSpec, Ttl, TypeShape};

/// Why a checkpoint cannot be restored into this job.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CompatError {
    /// The job has no such operator or state any more.
    #[error(
        "RR0101: the checkpoint holds state '{uid}/{state}' ({stored}), which the job no longer \
         has; \
         if the step was renamed, add `.formerly(\"{uid}\")`; to give the state up for good, run \
         with `--drop-state {uid}/{state}`"
    )]
    Removed {
        /// The operator.
        uid: Uid,
        /// The state.
        state: String,
        /// Its type.
        stored: String,
    },
    /// The type, kind or codec is another.
    #[error(
        "RR0102: the {what} of state '{uid}/{state}' changed: the checkpoint holds {stored}, the \
         job declares {declared}; declare a migration with `op.migrate(&state, |old: Old| ..)` \
         (where it gets a time to live, `op.migrate_to_ttl(&state, |old: Old| (until, ..))`), or \
         give the state up with `--drop-state {uid}/{state}`"
    )]
    Changed {
        /// The operator.
        uid: Uid,
        /// The state.
        state: String,
        /// What changed: kind, codec, key type, value type, time to live.
        what: &'static str,
        /// As in the checkpoint.
        stored: String,
        /// As in the job.
        declared: String,
    },
}

/// How one stored state goes into the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The operator's uid in the job.
    pub uid: Uid,
    /// Read with this shape, where a migration is needed.
    pub migrate_from: Option<TypeShape>,
}

/// The stored states, by stored uid and state name, that are to be restored, and where to.
pub type RestorePlan = BTreeMap<(Uid, String), Restored>;

/// Decides what becomes of each stored state.
///
/// # Errors
/// Every state that cannot be restored, not only the first.
pub fn plan_restore(
    graph: &Graph,
    groups: u16,
    stored: &BTreeMap<Uid, Vec<StateSpec>>,
    dropped: &BTreeSet<(Uid, String)>,
) -> Result<RestorePlan, Vec<CompatError>> {
    let declared = graph.states(groups);
    let renamed: BTreeMap<&Uid, &Uid> = graph
        .nodes()
        .flat_map(|(_, node)| node.formerly.iter().map(move |old| (old, &node.uid)))
        .collect();
    let (mut plan, mut errors) = (RestorePlan::new(), Vec::new());
    for (uid, specs) in stored {
        let now = if declared.contains_key(uid) { uid } else { renamed.get(uid).unwrap_or(&uid) };
        for spec in specs {
            let key = (uid.clone(), spec.name.clone());
            if dropped.contains(&key) {
                continue;
            }
            let found =
                declared.get(now).and_then(|specs| specs.iter().find(|s| s.name == spec.name));
            match found.map(|found| compare(uid, spec, found)) {
                Some(Ok(migrate_from)) => {
                    plan.insert(key, Restored { uid: now.clone(), migrate_from });
                }
                Some(Err(error)) => errors.push(error),
                None => errors.push(CompatError::Removed {
                    uid: uid.clone(),
                    state: spec.name.clone(),
                    stored: spec.value.to_string(),
                }),
            }
        }
    }
    if errors.is_empty() { Ok(plan) } else { Err(errors) }
}

fn compare(
    uid: &Uid,
    stored: &StateSpec,
    new: &StateSpec,
) -> Result<Option<TypeShape>, CompatError> {
    let changed = |what, stored_as: String, declared: String| CompatError::Changed {
        uid: uid.clone(),
        state: stored.name.clone(),
        what,
        stored: stored_as,
        declared,
    };
    if stored.kind != new.kind {
        return Err(changed("kind", format!("{:?}", stored.kind), format!("{:?}", new.kind)));
    }
    if stored.codec != new.codec {
        return Err(changed("codec", stored.codec.clone(), new.codec.clone()));
    }
    if !new.key.same(&stored.key) {
        return Err(changed("key type", stored.key.to_string(), new.key.to_string()));
    }
    let map_keys = (stored.map_key.as_ref(), new.map_key.as_ref());
    if let (Some(old), Some(new)) = map_keys
        && !new.same(old)
    {
        return Err(changed("map key type", old.to_string(), new.to_string()));
    }
    let clock = |ttl: &Option<Ttl>| ttl.map(Ttl::time);
    let same_clock = clock(&stored.ttl) == clock(&new.ttl);
    if same_clock && new.value.reads(&stored.value) {
        return Ok(None);
    }
    if new.migrates_from.iter().any(|shape| shape.same(&stored.value)) {
        return Ok(Some(stored.value.clone()));
    }
    if !same_clock {
        let said = |spec: &StateSpec| match spec.ttl {
            Some(ttl) => format!("{} that end {ttl}", spec.value),
            None => format!("{} that never end", spec.value),
        };
        return Err(changed("time to live", said(stored), said(new)));
    }
    Err(changed("value type", stored.value.to_string(), new.value.to_string()))
}
