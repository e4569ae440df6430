//! The bugs that are planted on purpose, and the drill that must catch each.
//!
//! Taken from what went wrong in other engines. Each is a line or two behind `planted!` in the
//! sources, compiled in only with the feature `planted` of the engine, made only by the disturbed
//! runs of a drill whose environment names it. Invariant: this table and the sources name the same
//! bugs; the test below reads both.

use Job::{Clicks, Files, Kafka, Spilling};

/// Which job comes by a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    /// The drill job.
    Files,
    /// The example with sessions.
    Clicks,
    /// The drill job with RocksDB, for state that outgrows memory.
    Spilling,
    /// The drill job on Kafka, on a broker of the drill's own.
    Kafka,
}

/// A planted bug.
pub(crate) struct Planted {
    pub(crate) name: &'static str,
    /// What goes wrong.
    pub(crate) what: &'static str,
    /// The job that comes by it.
    pub(crate) job: Job,
    /// The drill that must catch it.
    pub(crate) drill: &'static str,
}

const fn bug(name: &'static str, what: &'static str, job: Job, drill: &'static str) -> Planted {
    Planted { name, what, job, drill }
}

/// All of them.
#[rustfmt::skip]
pub(crate) static BUGS: [Planted; 44] = [
    bug("commit.before.stored", "output becomes visible before its checkpoint is complete",
        Files, "--points checkpoint.delta.synced,checkpoint.prepared"),
    bug("commit.not.repeated", "a restored checkpoint's output is not committed again",
        Files, "--points checkpoint.manifest.written"),
    bug("commit.one.part", "only the first subtask's files are committed",
        Files, "--points commit.told"),
    bug("commit.at.end.skipped", "the last checkpoint's output is not committed",
        Files, "--points checkpoint.cut"),
    bug("commit.failed.forgotten", "what a failed checkpoint had prepared is forgotten",
        Files, "--points storage.write"),
    bug("delta.failed.forgotten", "what a failed checkpoint had cut is forgotten",
        Files, "--points storage.write --random --faults"),
    bug("segment.unwritten", "a manifest names a segment that was never written",
        Files, "--points checkpoint.manifest.written"),
    bug("clean.named.removed", "cleaning removes segments that manifests name",
        Files, "--points clean.done"),
    bug("merge.upto.ahead", "a run claims changes it does not hold",
        Files, "--points clean.done,merge.named --stretch 3s"),
    bug("squash.removal.lost", "a squash forgets removals",
        Files, "--set calm=true --random --stretch 12s --rescale 1"),
    bug("choose.older", "an older checkpoint is restored than the newest",
        Files, "--points commit.told"),
    bug("choose.nothing", "a run begins anew beside its checkpoints",
        Files, "--points commit.told"),
    bug("restore.last.group.lost", "a subtask does not restore its last key group",
        Files, "--points commit.told"),
    bug("operator.watermark.reset", "a restored operator's watermark begins anew",
        Files, "--points commit.told"),
    bug("operator.watermark.ahead", "a restored operator's watermark is ahead",
        Files, "--points commit.told"),
    bug("split.clock.ahead", "a restored split's clock is ahead",
        Files, "--points commit.told"),
    bug("window.cursor.reset", "windows forget which of them have fired",
        Files, "--points commit.told"),
    bug("splits.read.twice", "restored splits belong to several subtasks",
        Files, "--points commit.told"),
    bug("splits.short.list", "a restored split belongs to nobody",
        Files, "--points commit.told"),
    bug("offset.before.last", "the offset saved is the last record's, not the next",
        Files, "--points commit.told"),
    bug("offset.of.chunk", "the offset saved is that of what is buffered",
        Files, "--points commit.told"),
    bug("gate.unaligned", "records behind a barrier get in before it",
        Files, "--points commit.told"),
    bug("emitter.behind.barrier", "records that wait are sent behind the barrier",
        Files, "--points commit.told"),
    bug("state.change.unlisted", "a changed entry is in no delta",
        Files, "--points commit.told"),
    bug("state.removal.unlogged", "a removed entry comes back",
        Files, "--points commit.told"),
    bug("state.touched.while.written", "an entry that changes while it is written is missed",
        Files, "--points commit.told --interval 300ms --stretch 2s --rescale 1"),
    bug("timer.fired.kept", "timers that fired come back",
        Files, "--points commit.told"),
    bug("timer.unordered", "restored timers never fire",
        Files, "--points commit.told"),
    bug("session.late.ends.batch", "a late record drops the rest of its batch",
        Clicks, "--points commit.told"),
    bug("session.merge.lost", "sessions that become one lose the later one's value",
        Files, "--points commit.told"),
    bug("state.portion.replaces", "what came to a value that had left memory replaces it",
        Spilling, "--conf memory=64MiB --set wide=true --random --stretch 5s --rescale 1,2"),
    bug("stop.ends.input", "a stop fires windows as the end would",
        Files, "--points stop.committed,stop.stored"),
    bug("lock.ignored", "two runs share their checkpoints",
        Files, "--zombie --points checkpoint.cut,commit.told"),
    bug("sink.buffer.kept", "what a sink holds back at a barrier belongs to the next",
        Files, "--points commit.told"),
    bug("sink.left_over.shown", "what a dead attempt left becomes visible",
        Files, "--points file.created,file.synced"),
    bug("kafka.marker.unsent", "a transaction is committed without its marker",
        Kafka, "--points commit.told"),
    bug("kafka.marker.oldest", "the oldest marker counts, not the newest",
        Kafka, "--points commit.told"),
    bug("kafka.commit.early", "a transaction is committed before its checkpoint is stored",
        Kafka, "--points checkpoint.delta.synced,kafka.opened"),
    bug("kafka.cut.passed", "what follows a barrier goes into the transaction before it",
        Kafka, "--points commit.told,kafka.committed"),
    bug("kafka.offset.last", "the offset saved is the last record's, not the next",
        Kafka, "--points commit.told"),
    bug("kafka.offset.of.batch", "the offset saved is that of what was fetched",
        Kafka, "--points commit.told"),
    bug("kafka.read.aborted", "records of aborted transactions are read",
        Kafka, "--points commit.told"),
    bug("choose.stored", "the newest checkpoint is restored, not the one that was decided",
        Kafka, "--points kafka.commit,checkpoint.manifest.written"),
    bug("commit.follower.first", "files become visible before the decision",
        Kafka, "--points kafka.commit"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::cargo;

    fn planted_in(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                planted_in(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("text");
                let names =
                    text.split("planted!(\"").skip(1).filter_map(|rest| rest.split('"').next());
                found.extend(names.map(str::to_owned));
            }
        }
    }

    #[test]
    fn table_and_sources_name_the_same_bugs() {
        let mut placed = BTreeSet::new();
        for member in ["engine", "operators", "connectors", "runtime"] {
            planted_in(&cargo::root().join(member).join("src"), &mut placed);
        }
        let listed: BTreeSet<String> = BUGS.iter().map(|bug| bug.name.to_owned()).collect();
        assert_eq!(listed.len(), BUGS.len(), "no name is used twice");
        assert_eq!(listed, placed);
        assert!(listed.len() >= 30);
    }
}
