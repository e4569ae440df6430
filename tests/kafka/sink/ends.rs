//! Cases 26, 27, 35, 39, 40: nothing to write, readers held back, two jobs of one name, files
//! beside Kafka, a savepoint.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use riverrun::connectors::datagen::Datagen;
use riverrun::connectors::file::Files;
use riverrun::connectors::kafka::Kafka;
use riverrun::engine::graph::NodeKind;
use riverrun::engine::outside::{About, Outside};
use riverrun::prelude::*;
use riverrun::runtime::config::{From, RunOptions};
use riverrun::runtime::control::{CommandKind, Control};

use crate::rig::{
    BROKER, LIMIT, World, await_checkpoints, child, config, end_of, given, run, visible,
};
use crate::world::{await_running, give};

fn kafka() -> Kafka {
    Kafka::brokers(&BROKER.address().to_string())
}

/// The numbers in a topic, sorted.
fn numbers(out: &str) -> Vec<u64> {
    let text = |record: &xtask::kafka::ConsumedRecord| record.value_text().map(str::to_owned);
    let texts = visible(&BROKER, out).iter().filter_map(text).collect::<Vec<_>>();
    let mut seen: Vec<u64> = texts.iter().map(|text| text.parse().expect("a number")).collect();
    seen.sort_unstable();
    seen
}

/// What readers of committed records do not see yet.
fn held_back(job: &str, out: &str) -> u64 {
    let graph = Job::new(serde_json::Value::Null);
    graph.source("numbers", kafka().read_text(out)).sink("out", kafka().write_text(out));
    let about = About {
        job: job.into(),
        checkpoint_interval: None,
        checkpoint_timeout: Duration::from_secs(60),
    };
    let graph = graph.into_graph();
    let of = |kind: &NodeKind| match kind {
        NodeKind::Sink(sink) => sink.outside(&about),
        _ => None,
    };
    let sinks: Vec<Box<dyn Outside>> =
        graph.nodes().filter_map(|(_, node)| of(&node.kind)).collect();
    let held = sinks.into_iter().flat_map(|mut sink| sink.held_back().expect("answers"));
    held.map(|held| held.count).sum()
}

/// To Kafka, and beside it to files.
fn both(job: &Job, out: &str, files: &Path, records: u64, rate: u64) {
    let source = Datagen::new(|i, _| i).count(records).splits(2).rate(rate);
    let numbers = job.source("numbers", source);
    numbers.clone().sink("files", Files::write_json_lines(files));
    numbers.sink("out", Kafka::brokers(&given("ADDRESS")).write_json::<u64>(out));
}

/// Enough for all the kills below.
const NUMBERS: u64 = 24_000;

#[test]
#[ignore = "the process that the tests below kill"]
fn ended_job() {
    let (name, out, folder) = (given("JOB"), given("OUT"), given("FOLDER"));
    let config = config(&name, &folder);
    let files = Path::new(&folder).join("files");
    let build = |job: &Job| both(job, &out, &files, NUMBERS, 3_000);
    let ended = run(&name, &config, &RunOptions::default(), build, Control::detached());
    ended.unwrap_or_else(|error| panic!("{error}"));
}

fn start(job: &str, out: &str, folder: &Path) -> Child {
    let variables = [
        ("JOB", job.to_owned()),
        ("OUT", out.to_owned()),
        ("FOLDER", folder.display().to_string()),
        ("ADDRESS", BROKER.address().to_string()),
    ];
    child("sink::ends::ended_job", &variables)
}

#[test]
fn cases_27_and_39_readers_are_held_back_until_the_restart_and_files_follow_kafka() {
    BROKER.create_topic("both-out", 2, &[]).expect("makes");
    let world = World::new("both");
    let (mut kills, mut held) = (0, 0);
    // A kill right behind a commit leaves nothing open: what is written first goes to the broker a
    // little later.
    while kills < 4 || held == 0 && kills < 12 {
        kills += 1;
        let process = start("both", "both-out", world.folder.path());
        await_checkpoints(world.folder.path());
        std::thread::sleep(Duration::from_millis(25));
        let (ended, said) = end_of(process, Duration::ZERO);
        assert_eq!(ended, None, "{said}");
        held += held_back("both", "both-out");
    }
    assert!(held > 0, "a run that is killed leaves a transaction open");
    let (ended, said) = end_of(start("both", "both-out", world.folder.path()), LIMIT);
    assert_eq!(ended, Some(true), "{said}");
    assert_eq!(held_back("both", "both-out"), 0, "a run that has ended leaves none");
    assert!(numbers("both-out").into_iter().eq(0..NUMBERS));
    let folder = fs::read_dir(world.folder.path().join("files")).expect("reads");
    let mut written: Vec<u64> = folder
        .map(|entry| fs::read_to_string(entry.expect("reads").path()).expect("text"))
        .flat_map(|text| {
            text.lines().map(|line| line.parse().expect("a number")).collect::<Vec<u64>>()
        })
        .collect();
    written.sort_unstable();
    assert!(written.into_iter().eq(0..NUMBERS), "files hold the same, once");
}

#[test]
fn case_35_a_second_job_of_the_same_name_is_refused_before_it_fences_the_first() {
    BROKER.create_topic("same-out", 2, &[]).expect("makes");
    let (first, second) = (World::new("same"), World::new("same"));
    let process = start("same", "same-out", first.folder.path());
    await_checkpoints(first.folder.path());
    let sink = || kafka().write_json::<u64>("same-out");
    let error = second.error(|job| {
        job.source("numbers", Datagen::new(|i, _| i).count(10)).sink("out", sink());
    });
    assert!(error.contains("RR0233"), "{error}");
    let (ended, said) = end_of(process, LIMIT);
    assert_eq!(ended, Some(true), "the first goes on: {said}");
    assert!(numbers("same-out").into_iter().eq(0..NUMBERS));
}

#[test]
fn case_26_a_job_with_nothing_to_write_outlives_its_transactions() {
    for topic in ["idle-in", "idle-out"] {
        BROKER.create_topic(topic, 1, &[]).expect("makes");
    }
    let world = World::new("idle");
    let (control, orders) = Control::by_hand();
    let stopper = std::thread::spawn(move || {
        // Longer than the transaction timeout.
        std::thread::sleep(Duration::from_secs(12));
        BROKER.produce("idle-in", &[(None, Some("late"))]).expect("writes");
        let until = Instant::now() + LIMIT;
        while visible(&BROKER, "idle-out").is_empty() {
            assert!(Instant::now() < until, "what came late is never written");
        }
        give(&orders, CommandKind::Stop { savepoint: false })
    });
    let timeout = Duration::from_secs(10);
    let ended = world.start(
        |job| {
            let source = kafka().read_text("idle-in");
            let sink = kafka().write_text("idle-out").transaction_timeout(timeout);
            job.source("late", source).sink("out", sink);
        },
        control,
    );
    ended.expect("stops well");
    stopper.join().expect("it waits").expect("answered").expect("stopped");
    assert_eq!(visible(&BROKER, "idle-out").len(), 1);
}

#[test]
fn case_40_stopped_with_a_savepoint_and_restarted_from_it_at_another_parallelism() {
    BROKER.create_topic("saved-out", 2, &[]).expect("makes");
    let mut world = World::new("saved");
    let pipeline = |job: &Job| {
        let source = Datagen::new(|i, _| i).count(9_000).splits(3).rate(6_000);
        job.source("numbers", source).sink("out", kafka().write_json::<u64>("saved-out"));
    };
    let (control, orders) = Control::by_hand();
    let stopper = std::thread::spawn(move || {
        // A start lasts as long as the broker takes to fence.
        await_running(&orders);
        std::thread::sleep(Duration::from_millis(300));
        give(&orders, CommandKind::Stop { savepoint: true })
    });
    world.start(pipeline, control).expect("stops well");
    let savepoint = stopper.join().expect("no panic").expect("answered").expect("stopped");
    assert_eq!(held_back("saved", "saved-out"), 0, "nothing is open");
    let before = numbers("saved-out").len();
    assert!(before > 0 && before < 9_000, "{before}");
    world.config.parallelism = 3;
    world.options.from = From::Checkpoint(savepoint.to_string());
    world.run(pipeline).expect("ends well");
    assert!(numbers("saved-out").into_iter().eq(0..9_000));
}
