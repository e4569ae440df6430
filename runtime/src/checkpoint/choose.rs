//! Which checkpoint a run begins with: facts in, decision out, no I/O.
//!
//! Called by [`super::restore`]. Invariant: whatever would lose or double committed output, or
//! begin with less than there is, needs the user's word for exactly that.

use riverrun_engine::checkpoint::CheckpointId;
use thiserror::Error;

use super::error::StoreError;
use crate::config::From;

/// What the deciding participant knows: `None`, there is no such participant, the store decides;
/// `Some(None)`, it never decided anything; `Some(Some(0))`, nothing is committed yet;
/// `Some(Some(n))`, checkpoint n is.
pub type Decided = Option<Option<CheckpointId>>;

/// Marker 0: written before any output, so no checkpoint is committed yet.
pub(super) const NOTHING_YET: CheckpointId = CheckpointId(0);

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// With empty state.
    Beginning,
    /// With a checkpoint of the job's own store.
    Own(CheckpointId),
    /// With a checkpoint of another store.
    Other {
        /// The store.
        path: String,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
}

/// A run that cannot begin.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// `--from` something that is none.
    #[error(
        "RR0230: '{from}' names no checkpoint: give its number (`checkpoint ls` shows them), or \
         `PATH#NUMBER` for one of another store"
    )]
    NotACheckpoint {
        /// As given.
        from: String,
    },
    /// `--from` a checkpoint that is not there.
    #[error("RR0231: there is no checkpoint {checkpoint} in the store; there are: {stored}")]
    Absent {
        /// As given.
        checkpoint: CheckpointId,
        /// Those that are there.
        stored: String,
    },
    /// Back behind committed output.
    #[error(
        "RR0232: to begin at {at} is to go back behind checkpoint {newest}: the output since then \
         is committed and would appear twice; leave `--from` away to begin at {newest}, or add \
         `--accept-duplicates` if that is what you want"
    )]
    Duplicates {
        /// Where the run should begin.
        at: String,
        /// The newest committed checkpoint.
        newest: CheckpointId,
    },
    /// The participant committed a checkpoint that the store does not have.
    #[error(
        "RR0233: the output of checkpoint {decided} is committed, but the store does not have that \
         checkpoint (there are: {stored}); is `checkpoint.path` the one of the last run? To begin \
         elsewhere knowingly, and see output twice: `--from NUMBER --accept-duplicates`, or \
         `--from beginning --accept-duplicates`"
    )]
    DecidedAbsent {
        /// What is committed.
        decided: CheckpointId,
        /// Those that are there.
        stored: String,
    },
    /// The store has checkpoints, the participant knows of nothing.
    #[error(
        "RR0234: the store has checkpoints ({stored}), but where the output goes there is no \
         marker of any: was it deleted, or does the output now go elsewhere? If so, begin \
         knowingly with `--from {newest} --accept-duplicates`"
    )]
    NoMarker {
        /// The newest.
        newest: CheckpointId,
        /// Those that are there.
        stored: String,
    },
    /// A checkpoint newer than what is committed.
    #[error(
        "RR0235: checkpoint {checkpoint} was never committed, the newest that was is {committed}: \
         to begin at {checkpoint} would lose the output between them; leave `--from` away"
    )]
    NeverCommitted {
        /// As given.
        checkpoint: CheckpointId,
        /// What is committed (0: nothing).
        committed: CheckpointId,
    },
    /// The number is right, the checkpoint is not.
    #[error(
        "RR0237: checkpoint {checkpoint} in the store was written by attempt {stored}, but what is \
         committed is checkpoint {checkpoint} of attempt {committed}: is `checkpoint.path` the one \
         of the last run? Nothing was started"
    )]
    OtherAttempt {
        /// The number.
        checkpoint: CheckpointId,
        /// Whose the store has.
        stored: String,
        /// Whose is committed.
        committed: String,
    },
    /// The chosen checkpoint cannot be read.
    #[error(
        "RR0236: checkpoint {checkpoint} cannot be restored, nothing was started: {source}. Bring \
         the file back, or begin knowingly at another (there are: {others}) with `--from NUMBER \
         --accept-duplicates`; output after that checkpoint then appears twice"
    )]
    Unreadable {
        /// The chosen one.
        checkpoint: CheckpointId,
        /// The others.
        others: String,
        /// What is wrong.
        source: Box<StoreError>,
    },
    /// The store itself fails, or is another job's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RestoreError {
    /// Whether trying again later may help: see [`StoreError::may_pass`].
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            RestoreError::Store(error) => error.may_pass(),
            RestoreError::Unreadable { source, .. } => source.may_pass(),
            _ => false,
        }
    }
}

pub(super) fn show(ids: &[CheckpointId]) -> String {
    const SHOWN: usize = 8;
    let newest = ids.iter().rev().take(SHOWN).map(ToString::to_string);
    let mut text = newest.collect::<Vec<_>>().join(", ");
    match ids.len() {
        0 => text.push_str("none"),
        n if n > SHOWN => text.push_str(&format!(" and {} older", n - SHOWN)),
        _ => {}
    }
    text
}

/// Decides where to begin. `stored` are the complete checkpoints of the job's own store, rising.
///
/// # Errors
/// Whatever would lose or double output without the user's word for it; see [`RestoreError`].
pub fn choose(
    from: &From,
    accept_duplicates: bool,
    stored: &[CheckpointId],
    decided: Decided,
) -> Result<Choice, RestoreError> {
    let wanted = match from {
        From::Newest => return newest(stored, decided),
        From::Beginning => Choice::Beginning,
        From::Checkpoint(text) => parse(text)?,
    };
    if let Choice::Own(id) = wanted
        && !stored.contains(&id)
    {
        return Err(RestoreError::Absent { checkpoint: id, stored: show(stored) });
    }
    let committed = match (decided, stored.last()) {
        (Some(Some(NOTHING_YET)), _) | (None | Some(None), None) => NOTHING_YET,
        (Some(Some(id)), _) => id,
        (None, Some(newest)) => *newest,
        (Some(None), Some(_)) if accept_duplicates => return Ok(wanted),
        (Some(None), Some(newest)) => return Err(no_marker(stored, *newest)),
    };
    let at = match &wanted {
        Choice::Own(checkpoint) if *checkpoint > committed => {
            return Err(RestoreError::NeverCommitted { checkpoint: *checkpoint, committed });
        }
        Choice::Own(id) if *id == committed => return Ok(wanted),
        // The store was moved: just what is committed, from where it lies now.
        Choice::Other { checkpoint: id, .. } if decided == Some(Some(*id)) && stored.is_empty() => {
            return Ok(wanted);
        }
        Choice::Own(id) => format!("checkpoint {id}"),
        Choice::Other { path, checkpoint } => format!("checkpoint {checkpoint} of '{path}'"),
        Choice::Beginning => "the beginning".to_owned(),
    };
    if committed == NOTHING_YET || accept_duplicates {
        return Ok(wanted);
    }
    Err(RestoreError::Duplicates { at, newest: committed })
}

fn newest(stored: &[CheckpointId], decided: Decided) -> Result<Choice, RestoreError> {
    match (decided, stored.last()) {
        (None | Some(None), None) | (Some(Some(NOTHING_YET)), _) => Ok(Choice::Beginning),
        (None, Some(newest)) => Ok(Choice::Own(*newest)),
        (Some(None), Some(newest)) => Err(no_marker(stored, *newest)),
        (Some(Some(id)), _) if stored.contains(&id) => Ok(Choice::Own(id)),
        (Some(Some(decided)), _) => {
            Err(RestoreError::DecidedAbsent { decided, stored: show(stored) })
        }
    }
}

fn no_marker(stored: &[CheckpointId], newest: CheckpointId) -> RestoreError {
    RestoreError::NoMarker { newest, stored: show(stored) }
}

fn parse(text: &str) -> Result<Choice, RestoreError> {
    let wrong = || RestoreError::NotACheckpoint { from: text.to_owned() };
    let number = |digits: &str| digits.parse().map(CheckpointId).map_err(|_| wrong());
    match text.rsplit_once('#') {
        None => Ok(Choice::Own(number(text)?)),
        Some(("", _)) => Err(wrong()),
        Some((path, digits)) => {
            Ok(Choice::Other { path: path.to_owned(), checkpoint: number(digits)? })
        }
    }
}
