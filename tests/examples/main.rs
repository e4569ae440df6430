//! Every example runs whole, then with checkpoints and stopped in between, then killed (the
//! process, SIGKILL) and restored at other parallelisms, against one golden output.
//!
//! `BLESS=1 cargo test --test examples` writes the golden files anew; look at the difference.
//! `KILL_SEED=7` draws other moments to kill; a failure names its seed.
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "a test of processes")]

mod binary;
mod rig;

use rig::{Example, Moments};

const CARD_FRAUD: Example = Example {
    name: "card_fraud",
    settings: &["events=150000", "seed=11"],
    slowly: &["rate=50000"],
};

const CLICK_SESSIONS: Example = Example {
    name: "click_sessions",
    settings: &["events=60000", "seed=11"],
    slowly: &["rate=20000"],
};

const SENSOR_ALERTS: Example = Example { name: "sensor_alerts", settings: &[], slowly: &[] };

#[test]
fn card_fraud_whole_stopped_and_killed() {
    whole_stopped_and_killed(&CARD_FRAUD, 10);
}

#[test]
fn click_sessions_whole_stopped_and_killed() {
    whole_stopped_and_killed(&CLICK_SESSIONS, 6);
}

#[test]
fn sensor_alerts_whole_stopped_and_killed() {
    whole_stopped_and_killed(&SENSOR_ALERTS, 6);
}

#[test]
fn a_full_disk_leaves_nothing_half_visible() {
    let golden = CARD_FRAUD.golden();
    let run = CARD_FRAUD.in_folder();
    run.on_a_full_disk(2, 4);
    let all: std::collections::BTreeSet<String> = golden.iter().cloned().collect();
    assert!(run.lines().iter().all(|line| all.contains(line)), "every visible line is whole");
    run.to_its_end(3, &[]);
    run.must_equal(&golden, "after the disk was full");
}

fn whole_stopped_and_killed(example: &Example, kills: usize) {
    let golden = example.golden();
    for parallelism in [1, 4] {
        let run = example.in_folder();
        run.to_its_end(parallelism, &[]);
        run.must_equal(&golden, &format!("whole at {parallelism}"));
    }
    let mut moments = Moments::from_seed();
    let stopped = example.in_folder();
    for parallelism in [2, 1] {
        stopped.then_sigterm(parallelism, moments.next_ms(100, 700));
    }
    stopped.to_its_end(3, &[]);
    stopped.must_equal(&golden, &format!("stopped twice, seed {}", moments.seed));

    let killed = example.in_folder();
    let mut died = 0;
    for kill in 0..kills {
        let parallelism = [1, 2, 3, 4][kill % 4];
        died += usize::from(killed.then_sigkill(parallelism, moments.next_ms(30, 400)));
    }
    killed.to_its_end(2, &[]);
    killed.must_equal(&golden, &format!("killed {died} times, seed {}", moments.seed));
    assert!(example.slowly.is_empty() || died > 0, "no kill came before the end");
}
