//! What the block and the line look like.

use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind};
use riverrun_engine::graph::Uid;
use riverrun_engine::time::{Timestamp, at, secs};

use super::{Display, Facts, Live, Screen, Size, block, line};
use crate::status::{CheckpointStatus, JobStatus, Phase};

const WIDE: Size = Size { columns: 120, rows: 40 };

fn status() -> JobStatus {
    let names = [("transactions", "source"), ("spend", "aggregate"), ("suspicions", "sink")];
    JobStatus::new("card-fraud", names.map(|(uid, step)| (Uid::new(uid), step)).to_vec())
}

fn checkpoint(id: u64, failed: Option<&str>) -> CheckpointStatus {
    CheckpointStatus {
        checkpoint: CheckpointId(id),
        kind: CheckpointKind::Periodic,
        duration_ms: 8.3,
        bytes: 1_258_291,
        failed: failed.map(str::to_owned),
    }
}

/// One second of a run with two subtasks.
fn second(status: &JobStatus) -> (Facts, Facts) {
    let now = at(1_000_000);
    status.begin_attempt(2, Some(CheckpointId(17)));
    status.set_phase(Phase::Running);
    for subtask in 0..2 {
        status.metrics(&Uid::new("transactions"), subtask).records_out.add(1_000_000);
    }
    let before = Facts::of(status, now - secs(1), secs(62));
    for subtask in 0..2 {
        let source = status.metrics(&Uid::new("transactions"), subtask);
        source.records_out.add(51_200);
        source.blocked_ns.add(250_000_000);
        source.set_watermark(now - secs(1));
        let spend = status.metrics(&Uid::new("spend"), subtask);
        spend.records_in.add(51_200);
        spend.records_out.add(600);
        spend.late_dropped.add(3);
        spend.set_watermark(now - Duration::from_millis(1200));
    }
    status.metrics(&Uid::new("suspicions"), 0).records_in.add(1200);
    (before, Facts::of(status, now, secs(63)))
}

#[test]
fn the_block() {
    let status = status();
    status.checkpoint_ended(checkpoint(41, None));
    status.attempt_failed("spend 0 panicked: boom\nat src/main.rs:3".to_owned());
    let (before, now) = second(&status);
    let expected = "\
card-fraud  running  attempt 2  up 1m 3s  restored from checkpoint 17
operator                   in/s   out/s  records   lag  late  blocked
source     transactions       -  102.4k    2.10M  1.0s     0      25%
aggregate  spend         102.4k    1200   102.4k  1.2s     6       0%
sink       suspicions      1200       -     1200     -     0       0%
checkpoint 41 took 8ms, 1.2 MiB; 1 complete, 0 failed
last failure: spend 0 panicked: boom
";
    assert_eq!(block(&before, &now, WIDE), expected);
}

#[test]
fn splits_and_transactions_are_shown_most_behind_first() {
    let status = status();
    for (subtask, name, next, end) in
        [(0, "orders/0", 10, 10), (0, "orders/2", 500, 9000), (1, "orders/1", 7, 8)]
    {
        status.metrics(&Uid::new("transactions"), subtask).split(name).set(next, end);
    }
    let meter = &status.metrics(&Uid::new("suspicions"), 0).transactions;
    meter.committed.add(12);
    meter.fenced.add(1);
    meter.set_open(Some(at(9)));
    let now = Facts::of(&status, at(10), secs(1));
    let text = block(&now, &now, WIDE);
    let expected = "\
split     next   end  behind
orders/2   500  9000    8500
orders/1     7     8       1
orders/0    10    10       0
transactions: 12 committed, 0 aborted, 1 fenced, open for 1.0s
no checkpoint yet
";
    assert!(text.ends_with(expected), "{text}");
    let text = line(&now, &now);
    assert!(text.contains(", 8501 behind, late") && text.contains("; transactions: 12"), "{text}");
    let narrow = block(&now, &now, Size { columns: 80, rows: 12 });
    assert!(narrow.contains("orders/2") && narrow.contains("and 2 more, 1 behind\n"), "{narrow}");
}

#[test]
fn a_failed_checkpoint_says_why_and_unreadable_records_are_shown() {
    let status = status();
    status.metrics(&Uid::new("transactions"), 0).skipped.add(4);
    status.checkpoint_ended(checkpoint(3, Some("disk full\nmore")));
    let now = Facts::of(&status, at(0), secs(1));
    let text = block(&now, &now, WIDE);
    assert!(text.contains("checkpoint 3 failed: disk full; 0 complete, 1 failed\n"), "{text}");
    assert!(text.contains("unreadable\n") && text.contains("0%           4\n"), "{text}");
}

#[test]
fn no_line_is_wider_than_the_terminal_and_no_block_higher() {
    let names = (0..50).map(|i| (Uid::new(&format!("operator-{i}")), "map"));
    let status = JobStatus::new("job", names.collect());
    status.attempt_failed("\u{1b}[31mred".to_owned());
    let now = Facts::of(&status, at(0), secs(1));
    for (columns, rows) in [(1, 1), (20, 7), (40, 24), (200, 100)] {
        let text = block(&now, &now, Size { columns, rows });
        assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
        assert!(text.lines().count() < rows.max(8), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
    let text = block(&now, &now, Size { columns: 80, rows: 10 });
    assert!(text.contains("and 46 more: `graph` shows all\n"), "{text}");
}

#[test]
fn the_line() {
    let status = status();
    status.checkpoint_ended(checkpoint(41, None));
    let (before, now) = second(&status);
    let expected = "running: 102.4k/s read, 1200/s written, 2.10M in all, lag 1.2s, late 6; \
                    checkpoint 41 took 8ms, 1.2 MiB; 1 complete, 0 failed";
    assert_eq!(line(&before, &now), expected);
}

#[test]
fn a_job_that_has_not_begun_has_no_rates() {
    let now = Facts::of(&status(), at(0), Duration::ZERO);
    let text = block(&now, &now, WIDE);
    assert!(text.starts_with("card-fraud  restoring  attempt 0  up 0ms  from the beginning\n"));
    assert!(text.ends_with("no checkpoint yet\n"), "{text}");
    assert_eq!(now.operators[1].watermark, Timestamp::MIN);
}

#[test]
fn the_display_ends_when_told() {
    let screen = Screen::on(Box::new(std::io::sink()));
    Live::start(Arc::new(status()), Display::Block(screen)).end();
    Live::start(Arc::new(status()), Display::Lines).end();
}
