//! Every crash point there is, in one table, in the order in which a job comes by them.
//!
//! Invariant: the table and the sources name the same points; the test below reads both.

/// When a job comes by a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// At each start.
    Start,
    /// At a start from a checkpoint.
    Restored,
    /// At a start from a checkpoint of another parallelism.
    Rescaled,
    /// While it runs, and up to its end.
    Running,
    /// While it runs, once there is state enough to merge.
    Merging,
    /// When a savepoint is asked for.
    Savepoint,
    /// When a stop is asked for.
    Stop,
    /// While it runs, where it writes to Kafka.
    Kafka,
    /// At each start, where it writes to Kafka.
    KafkaStart,
}

impl When {
    /// Whether only jobs that write to Kafka come by.
    #[must_use]
    pub fn is_kafka(self) -> bool {
        matches!(self, When::Kafka | When::KafkaStart)
    }
}

/// A crash point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its name.
    pub name: &'static str,
    /// When a job comes by it.
    pub when: When,
    /// How things stand there.
    pub what: &'static str,
    /// Whether it can also fail.
    pub fails: bool,
}

const fn at(name: &'static str, when: When, what: &'static str) -> Point {
    Point { name, when, what, fails: false }
}

const fn fault(name: &'static str, when: When, what: &'static str) -> Point {
    Point { name, when, what, fails: true }
}

/// The point called `name`.
#[must_use]
pub fn point(name: &str) -> Option<&'static Point> {
    POINTS.iter().find(|point| point.name == name)
}

/// All points.
#[rustfmt::skip]
pub static POINTS: [Point; 65] = [
    at("start.locked", When::Start, "the checkpoints are locked, nothing is read yet"),
    at("start.decided", When::Start, "who decides has said which checkpoint holds"),
    at("start.recovered", When::Start, "what that checkpoint had prepared is committed again"),
    at("start.cleaned", When::Start, "what dead attempts left among the checkpoints is removed"),
    at("start.built", When::Start, "every subtask is built and restored, no record is read yet"),
    at("restore.verified", When::Restored, "every byte of the checkpoint is checked"),
    at("restore.applied", When::Restored, "one subtask has taken over the state of one operator"),
    at("restore.assigned", When::Restored, "one split is to be read on from its offset"),
    at("rescale.time", When::Rescaled,
        "an operator takes its watermark over from another parallelism"),
    at("source.batch", When::Running, "a source has read a batch and handed nothing on yet"),
    at("source.offsets", When::Running, "a source has saved its offsets for a checkpoint"),
    at("checkpoint.begun", When::Running, "a checkpoint has its number, no barrier is sent"),
    at("checkpoint.ordered", When::Running, "the barriers are on their way"),
    at("checkpoint.aligned", When::Running, "the barrier has come by all inputs of a subtask"),
    at("checkpoint.cut", When::Running, "a subtask's state is cut, its stream not yet marked"),
    at("checkpoint.marked", When::Running,
        "a subtask's stream is marked, its state not yet written"),
    at("checkpoint.written", When::Running, "a subtask's state is written, not yet reported"),
    at("checkpoint.whole", When::Running, "the parts of all subtasks are there"),
    at("checkpoint.prepared", When::Running, "every participant knows that all have prepared"),
    fault("segment.sync", When::Running,
        "a segment has its name, its bytes are about to become durable"),
    at("checkpoint.delta.synced", When::Running, "the segment is durable, no manifest names it"),
    at("checkpoint.manifest.written", When::Running,
        "the checkpoint is complete, nothing is committed"),
    at("commit.decided", When::Running, "who decides has committed, if somebody does"),
    at("commit.followed", When::Running, "all output of the checkpoint is visible"),
    at("commit.told", When::Running, "sources and whoever asked know of the commit"),
    at("clean.listed", When::Running, "it is settled which old files go, all are still there"),
    at("clean.manifest.removed", When::Running, "the manifest of an old checkpoint is removed"),
    at("clean.file.removed", When::Running, "a file that no checkpoint needs is removed"),
    at("clean.done", When::Running, "the round of cleaning behind a checkpoint is over"),
    fault("storage.write", When::Running, "a file of a checkpoint is about to become whole"),
    at("merge.begun", When::Merging, "a merge begins on its thread"),
    at("merge.run.written", When::Merging, "a run is durable, no manifest names it"),
    at("merge.squashed", When::Merging,
        "several segments are one that is durable, no manifest names it"),
    at("merge.done", When::Merging, "a merge's result is there, to be named by the next manifest"),
    at("merge.taken", When::Merging,
        "the next manifest will name a merge's result, it is not written yet"),
    at("merge.named", When::Merging, "a manifest names a merge's result, what it merged may go"),
    at("file.created", When::Running, "a hidden file is created"),
    fault("file.write", When::Running, "records are about to be written to a hidden file"),
    at("file.synced", When::Running, "a hidden file is complete and durable"),
    at("file.prepared", When::Running, "a checkpoint's hidden files and their names are durable"),
    fault("file.rename", When::Running, "a hidden file is about to become visible"),
    at("file.renamed", When::Running, "one file is visible, others of the checkpoint may not be"),
    at("file.committed", When::Running,
        "all files of the checkpoint are visible, and durable as such"),
    at("file.recovered", When::Restored, "files that a dead run had prepared are visible"),
    at("file.left_over.removed", When::Restored, "a dead attempt's hidden file is removed"),
    at("savepoint.asked", When::Savepoint, "a savepoint is asked for"),
    at("savepoint.stored", When::Savepoint, "the savepoint is complete, nothing is committed"),
    at("savepoint.answered", When::Savepoint, "whoever asked for the savepoint is told"),
    at("stop.asked", When::Stop, "a stop is asked for"),
    at("stop.stored", When::Stop,
        "the last checkpoint of a stop is complete, nothing is committed"),
    at("stop.committed", When::Stop, "the last checkpoint of a stop is committed, tasks still end"),
    at("end.stored", When::Running, "every source has ended and the last checkpoint is complete"),
    at("end.committed", When::Running,
        "every source has ended and all is committed, tasks still end"),
    at("run.over", When::Running, "an attempt is over, the checkpoints are still locked"),
    at("kafka.fenced", When::KafkaStart,
        "earlier attempts' producers are fenced, no marker is read"),
    at("kafka.marker.read", When::KafkaStart, "the newest marker is read, nothing is restored"),
    at("kafka.marker.again", When::KafkaStart,
        "the marker of what holds is sent again, not yet committed"),
    at("kafka.begun", When::KafkaStart,
        "the marker of what holds is committed again, no record is read"),
    at("kafka.passed", When::Kafka, "every writer has passed the barrier, nothing is flushed"),
    at("kafka.held.sent", When::Kafka, "what writers still held is sent, the marker is not"),
    at("kafka.marker.sent", When::Kafka, "the marker is sent, nothing is acknowledged"),
    at("kafka.flushed", When::Kafka, "output and marker are acknowledged, the next has not begun"),
    at("kafka.opened", When::Kafka, "the next transaction is open, the checkpoint not yet stored"),
    at("kafka.commit", When::Kafka, "the checkpoint is stored, its transaction not yet committed"),
    at("kafka.committed", When::Kafka, "Kafka has acknowledged the commit, nobody else knows"),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "reads the sources")]

    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::*;

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    /// Points by name: whether they can fail, and how often they are placed.
    fn placed() -> BTreeMap<String, (bool, usize)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let (mut files, mut placed) = (Vec::new(), BTreeMap::new());
        for member in ["operators", "connectors", "runtime"] {
            sources(&root.join(member).join("src"), &mut files);
        }
        for file in files {
            let text = std::fs::read_to_string(&file).expect("text");
            for (call, fails) in [("crash_point!(\"", false), ("fault_point!(\"", true)] {
                for (at, _) in text.match_indices(call) {
                    let name = text[at + call.len()..].split('"').next().expect("a name");
                    placed.entry(name.to_owned()).or_insert((fails, 0)).1 += 1;
                }
            }
        }
        placed
    }

    #[test]
    fn table_and_sources_name_the_same_points() {
        let placed: BTreeMap<_, _> =
            placed().into_iter().map(|(n, (fails, _))| (n, fails)).collect();
        let listed: BTreeMap<_, _> =
            POINTS.iter().map(|point| (point.name.to_owned(), point.fails)).collect();
        assert_eq!(listed.len(), POINTS.len(), "no name is used twice");
        let only = |a: &BTreeMap<String, bool>, b: &BTreeMap<String, bool>| -> Vec<String> {
            a.iter().filter(|(n, f)| b.get(*n) != Some(*f)).map(|(n, _)| n.clone()).collect()
        };
        assert_eq!(only(&placed, &listed), [""; 0], "placed and not listed so");
        assert_eq!(only(&listed, &placed), [""; 0], "listed and not placed so");
    }

    #[test]
    fn a_name_is_of_one_place_each_says_what_and_is_short() {
        for (name, (_, times)) in placed() {
            assert_eq!(times, 1, "'{name}' is placed {times} times");
        }
        for point in &POINTS {
            assert!(point.what.len() > 10 && point.name.contains('.'), "{}", point.name);
        }
    }
}
