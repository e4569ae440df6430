//! Which stored checkpoint a command means: a number, `newest`, or `PATH#NUMBER`.

use riverrun_engine::checkpoint::CheckpointId;

use super::error::CliError;
use crate::checkpoint::CheckpointStore;

/// The checkpoint that `text` names, and its store: by default the one at `path`.
pub(super) async fn find(
    path: &str,
    text: &str,
) -> Result<(CheckpointStore, CheckpointId), CliError> {
    let (path, name) = text.rsplit_once('#').unwrap_or((path, text));
    if name == "newest" {
        let store = CheckpointStore::open_existing(path)?;
        let newest = store.list().await?.into_iter().next_back();
        let missing = || CliError::NoCheckpoint { path: path.to_owned() };
        return Ok((store, newest.ok_or_else(missing)?));
    }
    let number = name.parse().map_err(|_| CliError::NotACheckpoint { text: text.to_owned() })?;
    Ok((CheckpointStore::open_existing(path)?, CheckpointId(number)))
}
