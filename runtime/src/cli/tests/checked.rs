//! What `check` prints, alone and against a checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind};
use riverrun_engine::graph::{Graph, Partitioning, Uid};
use riverrun_engine::output::Port;
use riverrun_engine::time::at;

use super::graphs::{node, sink, source, spend, sum};
use crate::checkpoint::{Manifest, OperatorEntry};
use crate::cli::check::{against, describe};
use crate::cli::error::CliError;
use crate::config::{Config, ConfigSources};

fn config() -> Config {
    let sources = ConfigSources { cores: 2, ..ConfigSources::default() };
    Config::load("card-fraud", &sources).expect("loads").config
}

/// What a checkpoint of `graph` would say.
fn manifest(graph: &Graph) -> Manifest {
    let operators = graph.states(128).into_iter().map(|(uid, states)| {
        (uid, {
            let watermarks = vec![at(0); 2];
            OperatorEntry { parallelism: 2, watermark: at(0), watermarks, states }
        })
    });
    Manifest {
        version: 1,
        engine: "0.1.0".to_owned(),
        job: "card-fraud".to_owned(),
        checkpoint: CheckpointId(42),
        kind: CheckpointKind::Periodic,
        attempt: "a".to_owned(),
        created: at(0),
        key_groups: 128,
        operators: operators.collect(),
        sources: BTreeMap::from([(Uid::new("cards"), Vec::new())]),
        prepared: BTreeMap::new(),
        runs: Vec::new(),
        segments: Vec::new(),
    }
}

fn renamed() -> Graph {
    let mut graph = Graph::default();
    let events = graph.add(node("events", "source", source()), &[]);
    let input = [(events, Port::Main, Partitioning::Hash)];
    let mut operator = node("turnover", "process", sum("total"));
    operator.formerly.push(Uid::new("spend"));
    let turnover = graph.add(operator, &input);
    let more = graph.add(node("more", "process", sum("count")), &input);
    graph.add(node("out", "sink", sink()), &[(turnover, Port::Main, Partitioning::Forward)]);
    graph.add(node("out2", "sink", sink()), &[(more, Port::Main, Partitioning::Forward)]);
    graph
}

#[test]
fn every_operator_is_told_with_its_states() {
    let text = describe("card-fraud", &renamed(), &config());
    let head = "card-fraud: parallelism 2, 128 key groups, \
                checkpoints in '.riverrun/card-fraud/checkpoints'\n\nsource events  x2  bounded  ";
    assert!(text.starts_with(head), "{text}");
    assert!(text.contains("\n  formerly spend\n  state total: value, u64 -> u64, rmp-named\n"));
}

#[test]
fn a_checkpoint_of_the_same_job_fits() {
    let (graph, config) = (spend(), config());
    let text = against("card-fraud", &graph, &config, &manifest(&graph), &BTreeSet::new());
    let expected = "\nagainst checkpoint 42 of 1970-01-01T00:00:00Z:\n  \
                    restored      spend/total\n  goes on       cards (0 splits)\n  \
                    from its beginning  refunds\n";
    assert_eq!(text.expect("fits"), expected);
}

#[test]
fn a_changed_job_is_told_what_becomes_of_everything() {
    let (graph, config) = (renamed(), config());
    let held = manifest(&spend());
    let text = against("card-fraud", &graph, &config, &held, &BTreeSet::new()).expect("fits");
    for line in [
        "  restored      turnover/total (renamed)\n",
        "  starts empty  more/count\n",
        "  forgotten     the place of source cards: the job no longer reads it\n",
        "  from its beginning  events\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn removed_state_is_refused_unless_it_is_given_up() {
    let (mut graph, config, held) = (Graph::default(), config(), manifest(&spend()));
    graph.add(node("cards", "source", source()), &[]);
    let refused = against("card-fraud", &graph, &config, &held, &BTreeSet::new());
    let Err(CliError::Compat(errors)) = refused else { panic!("{refused:?}") };
    assert!(errors[0].to_string().starts_with("RR0101"), "{errors:?}");
    let dropped = BTreeSet::from([(Uid::new("spend"), "total".to_owned())]);
    let text = against("card-fraud", &graph, &config, &held, &dropped).expect("fits");
    assert!(text.contains("  given up      spend/total\n"), "{text}");
}

#[test]
fn another_jobs_checkpoint_is_refused() {
    let (graph, config) = (spend(), config());
    let held = manifest(&graph);
    let refused = against("another", &graph, &config, &held, &BTreeSet::new());
    assert!(matches!(refused, Err(CliError::Store(_))), "{refused:?}");
}
