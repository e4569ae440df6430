//! Offsets: kept, compared, resolved to numbers, and never replaced by others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use riverrun::connectors::kafka::{End, Start};
use riverrun::connectors::memory::MemoryOutput;
use riverrun::connectors::testing::check_source;
use riverrun::prelude::{Source, Watermarks, at};
use riverrun::runtime::run::Outcome;

use super::{Live, copy, numbers, read, says, world};
use crate::cluster::{Cluster, await_that};

/// Transactions that commit and abort in turn, in three partitions; what was committed.
fn with_gaps(cluster: &Cluster, topic: &str, rounds: u64, each: u64) -> Vec<u64> {
    cluster.create(topic, 3);
    let sender = cluster.transactions(topic);
    let mut committed = Vec::new();
    for round in 0..rounds {
        let commit = round % 3 != 1;
        let all = round * 3 * each..(round + 1) * 3 * each;
        sender.transaction(commit, |sender| {
            for partition in 0..3_u64 {
                let first = all.start + partition * each;
                sender.numbers(topic, partition as i32, first..first + each);
            }
        });
        if commit {
            committed.extend(all);
        }
    }
    // The tail is markers and aborted records only.
    sender.transaction(false, |sender| sender.numbers(topic, 0, 0..each));
    committed
}

#[test]
fn case_31_a_bounded_source_ends_behind_aborted_records_and_markers() {
    let cluster = Cluster::take();
    let committed = with_gaps(&cluster, "gaps", 9, 500);
    let output = MemoryOutput::new();
    let source = numbers(&cluster.kafka(), "gaps").until(End::Latest);
    let ended = world().run(|job| copy(job, source.clone(), &output)).expect("runs");
    assert!(matches!(ended, Outcome::Ended { .. }));
    assert_eq!(read(&output), committed);
}

/// Records a life reads before it is stopped.
const SHARE: u64 = 1_500;

#[test]
fn case_31_stops_at_any_gap_and_restores_at_any_parallelism_are_exact() {
    let cluster = Cluster::take();
    let committed = with_gaps(&cluster, "rescaled", 40, 300);
    let (mut world, output) = (world(), MemoryOutput::new());
    let source = numbers(&cluster.kafka(), "rescaled").until(End::Latest);
    let mut runs = 0;
    loop {
        world.config.parallelism = [1, 3, 2, 4][runs % 4];
        let (from, to, seen) = (source.clone(), output.clone(), Arc::new(AtomicU64::new(0)));
        let counted = seen.clone();
        let live = Live::start(world, move |job| {
            let seen = counted.clone();
            // Behind its share a life has hardly any speed: it is stopped before the next is read.
            let slow = move |_: &u64| {
                let behind = seen.fetch_add(1, Ordering::Relaxed) >= SHARE;
                std::thread::sleep(Duration::from_micros(if behind { 500 } else { 1 }));
                at(0)
            };
            copy(job, from.clone().event_time(slow, Watermarks::monotonic()), &to);
        });
        let share = || seen.load(Ordering::Relaxed) >= SHARE || live.job.is_finished();
        await_that("its share", share);
        let ended;
        (world, ended) = live.stop_if_it_runs();
        runs += 1;
        if !matches!(ended, Outcome::Stopped { .. }) {
            break;
        }
    }
    assert!(runs > 2, "it was stopped on the way");
    assert_eq!(read(&output), committed);
}

#[test]
fn an_open_transaction_is_neither_waited_for_nor_read() {
    let cluster = Cluster::take();
    cluster.create("open", 1);
    let sender = cluster.transactions("open");
    sender.transaction(true, |sender| sender.numbers("open", 0, 0..10));
    let other = cluster.transactions("open-other");
    other.begin();
    other.numbers("open", 0, 50..60);
    other.flush();
    sender.transaction(true, |sender| sender.numbers("open", 0, 10..20));
    let run = |source: &super::Numbers| {
        let output = MemoryOutput::new();
        world().run(|job| copy(job, source.clone(), &output)).expect("runs");
        read(&output)
    };
    let source = numbers(&cluster.kafka(), "open").until(End::Latest);
    assert_eq!(run(&source), (0..10).collect::<Vec<_>>(), "up to the last stable offset");
    let all: Vec<_> = (0..20).chain(50..60).collect();
    assert_eq!(run(&source.clone().uncommitted()), all);
    other.abort();
    assert_eq!(run(&source), (0..20).collect::<Vec<_>>());
}

#[test]
fn the_contract_of_a_source_is_kept() {
    let cluster = Cluster::take();
    with_gaps(&cluster, "contract", 4, 200);
    check_source(&numbers(&cluster.kafka(), "contract").until(End::Latest)).expect("is kept");
}

#[test]
fn case_29_deleted_records_are_an_error_and_offsets_can_be_given_up() {
    let cluster = Cluster::take();
    cluster.create("retained", 1);
    let sender = cluster.producer();
    sender.numbers("retained", 0, 0..100);
    sender.flush();
    let (output, source) = (MemoryOutput::new(), numbers(&cluster.kafka(), "retained"));
    let (to, from) = (output.clone(), source.clone());
    let live = Live::start(world(), move |job| copy(job, from.clone(), &to));
    await_that("100 numbers", || read(&output).len() == 100);
    let mut world = live.stop();
    sender.numbers("retained", 0, 100..200);
    sender.flush();
    cluster.delete_records("retained", 0, 150);
    let error = world.error(|job| copy(job, source.clone(), &output));
    says(&error, &["RR0722", "retained/0", "offset 100", "record is 150", "--drop-state"]);
    let drop = (riverrun::engine::graph::Uid::new("numbers"), "#splits".to_owned());
    world.options.drop_state.insert(drop);
    let bounded = source.clone().until(End::Latest);
    world.run(|job| copy(job, bounded.clone(), &output)).expect("begins anew");
    assert_eq!(read(&output), (0..100).chain(150..200).collect::<Vec<_>>());
}

#[test]
fn case_30_a_topic_made_anew_is_noticed_at_the_restore_and_while_reading() {
    let cluster = Cluster::take();
    cluster.create("anew", 1);
    let sender = cluster.producer();
    sender.numbers("anew", 0, 0..50);
    sender.flush();
    let (output, source) = (MemoryOutput::new(), numbers(&cluster.kafka(), "anew"));
    let source = source.discover_every(Duration::from_millis(200));
    let (to, from) = (output.clone(), source.clone());
    let live = Live::start(world(), move |job| copy(job, from.clone(), &to));
    await_that("50 numbers", || read(&output).len() == 50);
    let remake = || {
        cluster.delete("anew");
        cluster.create("anew", 1);
        let sender = cluster.producer();
        sender.numbers("anew", 0, 1000..1100);
        sender.flush();
    };
    remake();
    let (world, error) = live.failure();
    assert!(error.contains("RR0724") || error.contains("RR0713"), "{error}");
    let error = world.error(|job| copy(job, source.clone(), &output));
    says(&error, &["RR0724", "anew/0", "Offset 50", "0 to 100", "--drop-state"]);
    assert_eq!(read(&output).len(), 50, "nothing of the new topic was read");
}

#[test]
fn offsets_of_complete_checkpoints_are_shown_to_the_group() {
    let cluster = Cluster::take();
    cluster.create("shown", 1);
    let sender = cluster.producer();
    sender.numbers("shown", 0, 0..70);
    sender.flush();
    let (output, source) = (MemoryOutput::new(), numbers(&cluster.kafka(), "shown"));
    let to = output.clone();
    let live = Live::start(world(), move |job| copy(job, source.clone(), &to));
    await_that("the offset", || cluster.group_offset("test", "shown") == Some(70));
    live.stop();
}

#[test]
fn case_33_latest_is_a_number_before_the_first_record() {
    let cluster = Cluster::take();
    cluster.create("late", 2);
    let sender = cluster.producer();
    sender.numbers("late", 0, 0..10);
    sender.flush();
    let (output, source) = (MemoryOutput::new(), numbers(&cluster.kafka(), "late"));
    let source = source.from(Start::Latest);
    let (to, from) = (output.clone(), source.clone());
    let live = Live::start(world(), move |job| copy(job, from.clone(), &to));
    live.checkpoint();
    let world = live.stop();
    sender.numbers("late", 0, 10..20);
    sender.numbers("late", 1, 20..30);
    sender.flush();
    let bounded = source.until(End::Latest);
    world.run(|job| copy(job, bounded.clone(), &output)).expect("runs");
    assert_eq!(read(&output), (10..30).collect::<Vec<_>>());
}
