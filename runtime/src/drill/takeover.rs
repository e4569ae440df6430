//! A run that stands still is taken for dead: another one takes over.
//!
//! Called by [`super::life`] while a run stands still at a crash point. Where the checkpoints
//! decide, a second run is refused: the first still holds them. Where a transaction decides, the
//! second gets a copy of the checkpoints, as it would find them behind a lease that has run out; it
//! fences the first, which must end when it goes on.

use std::time::Duration;

use super::child::{Ended, Running};
use super::error::DrillError;
use super::interrupt::Interrupt;
use super::site::Site;
use crate::cli::Exit;
use crate::doors;

/// What a run says that finds a checkpoint committed which only the copy has.
const NOT_ITS_OWN: &str = "RR0233";

/// Whether `ended` is the end of a run that another one holds off.
pub(super) fn held_off(ended: &Ended) -> bool {
    matches!(ended, Ended::Badly { code: Some(code), .. } if *code == i32::from(Exit::Held.code()))
}

/// Whether `ended` is the end of a run that another one has taken over from: it was told so, or
/// sees output committed that is not its own.
pub(super) fn taken_over(ended: &Ended) -> bool {
    let not_its_own = match ended {
        Ended::Badly { said, .. } => said.contains(NOT_ITS_OWN),
        _ => false,
    };
    held_off(ended) || not_its_own
}

/// How long what was committed may take to be seen.
pub(super) const SETTLES: Duration = Duration::from_millis(200);

/// What is visible while no run goes on.
pub(super) fn at_rest(site: &mut Site) -> Result<u64, DrillError> {
    doors::pause(SETTLES);
    site.settled()
}

/// Waits until `second` has shown more than was visible `before`, or has ended; how, if it has.
pub(super) fn until_it_writes(
    second: &mut Running,
    site: &mut Site,
    before: u64,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<Option<Ended>, DrillError> {
    second.wait_until(limit, interrupt, |_| Ok(site.visible()? > before))
}
