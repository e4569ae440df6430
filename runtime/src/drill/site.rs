//! Where one life takes place: its folder, the scratch output that lies elsewhere, and the name
//! that its runs give their job, which nothing else has.
//!
//! Made by [`super::oracle`] and [`super::rig`]. Invariant: whatever was made outside the folder is
//! removed with the site, also when the drill ends early.

use std::path::{Path, PathBuf};

use riverrun_engine::graph::Uid;
use riverrun_engine::rehearsal::Stage;

use super::disk;
use super::error::DrillError;
use super::output::{self, Fields, Output};
use super::rehearsed::Rehearsed;

/// Below which folder of a life the sinks write that write files.
pub(super) const OUTPUT: &str = "out";
/// The file that says what is read of sources whose input may move: JSON, by uid.
pub(super) const SLICES: &str = "slices.json";

/// Makes sites.
pub(super) struct Sites<'a> {
    pub(super) rehearsed: &'a Rehearsed,
    /// The drill's folder, whose name is the drill's.
    pub(super) folder: PathBuf,
    /// The text of [`SLICES`].
    pub(super) slices: String,
}

/// One of them.
pub(super) struct Site {
    folder: PathBuf,
    job: String,
    stages: Vec<(Uid, Box<dyn Stage>)>,
}

fn failed(uid: &Uid, done: &'static str) -> impl FnOnce(anyhow::Error) -> DrillError {
    let uid = uid.clone();
    move |error| DrillError::Stage { uid, done, reason: format!("{error:#}") }
}

impl Sites<'_> {
    /// The site called `label`.
    ///
    /// # Errors
    /// What cannot be made; then nothing of it is left outside the folder.
    pub(super) fn make(&self, label: &str) -> Result<Site, DrillError> {
        let folder = self.folder.join(label);
        disk::create_folder(&folder)?;
        disk::write(&folder.join(SLICES), &self.slices)?;
        let drill = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let mut site = Site { folder, job: format!("{drill}-{label}"), stages: Vec::new() };
        for (uid, sink) in &self.rehearsed.staged {
            let Some(stage) = sink.stage(&site.job) else { continue };
            // Before it is made: what is made by halves is removed too.
            site.stages.push((uid.clone(), stage));
            if let Some((uid, stage)) = site.stages.last_mut() {
                stage.make().map_err(failed(uid, "made"))?;
            }
        }
        Ok(site)
    }
}

impl Site {
    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What its runs call their job.
    pub(super) fn job(&self) -> &str {
        &self.job
    }

    /// How much is visible: grows with each commit that shows anything.
    pub(super) fn visible(&mut self) -> Result<u64, DrillError> {
        let mut visible = output::files(&self.folder)?;
        for (uid, stage) in &mut self.stages {
            visible += stage.visible().map_err(failed(uid, "read"))?;
        }
        Ok(visible)
    }

    /// The same, with everything that could be seen by now.
    pub(super) fn settled(&mut self) -> Result<u64, DrillError> {
        let mut visible = output::files(&self.folder)?;
        for (uid, stage) in &mut self.stages {
            visible += stage.settled().map_err(failed(uid, "read"))?;
        }
        Ok(visible)
    }

    /// All that its runs wrote, once the last has ended.
    pub(super) fn read(&mut self, fields: &Fields) -> Result<Output, DrillError> {
        let mut output = output::read(&self.folder, fields)?;
        for (uid, stage) in &mut self.stages {
            let shown = stage.read().map_err(failed(uid, "read"))?;
            let sink = uid.to_string();
            let records = output::shown(&sink, shown, fields)?;
            output.by_sink.insert(sink, records);
        }
        Ok(output)
    }

    /// Removes all of it that lies outside its folder.
    ///
    /// # Errors
    /// What stays.
    pub(super) fn clear(&mut self) -> Result<(), DrillError> {
        while let Some((uid, mut stage)) = self.stages.pop() {
            stage.remove().map_err(failed(&uid, "removed"))?;
        }
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for (_, stage) in &mut self.stages {
            // The drill ends for another reason, which is told.
            drop(stage.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use riverrun_engine::Result;
    use riverrun_engine::rehearsal::Shown;

    use super::*;

    struct Noted(Arc<Mutex<Vec<&'static str>>>);

    impl Noted {
        fn note(&self, what: &'static str) {
            self.0.lock().expect("alone").push(what);
        }
    }

    impl Stage for Noted {
        fn make(&mut self) -> Result<()> {
            self.note("make");
            Ok(())
        }
        fn visible(&mut self) -> Result<u64> {
            Ok(3)
        }
        fn settled(&mut self) -> Result<u64> {
            Ok(4)
        }
        fn read(&mut self) -> Result<Vec<Shown>> {
            Ok(Vec::new())
        }
        fn remove(&mut self) -> Result<()> {
            self.note("remove");
            Ok(())
        }
    }

    #[test]
    fn what_was_made_is_removed_once_however_it_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        for cleared in [true, false] {
            let notes = Arc::new(Mutex::new(Vec::new()));
            let stage: Box<dyn Stage> = Box::new(Noted(notes.clone()));
            let mut site = Site {
                folder: folder.path().to_owned(),
                job: String::new(),
                stages: vec![(Uid::new("out"), stage)],
            };
            assert_eq!((site.visible().expect("3"), site.settled().expect("4")), (3, 4));
            if cleared {
                site.clear().expect("removes");
            }
            drop(site);
            assert_eq!(*notes.lock().expect("alone"), ["remove"]);
        }
    }
}
