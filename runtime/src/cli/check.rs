//! `check`: everything that can be said of a job without running it, and whether it may restore a
//! checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use riverrun_engine::compat::{RestorePlan, plan_restore};
use riverrun_engine::graph::{Graph, Node, NodeKind, Uid};
use riverrun_engine::state::StateSpec;

use super::args::CheckArgs;
use super::error::CliError;
use super::{Context, Exit, online, out, stored, wait_for};
use crate::checkpoint::Manifest;
use crate::config::Config;
use crate::live::text::moment;
use crate::plan::parallelisms;

/// Checks the job.
pub(super) fn check(context: &Context<'_>, args: &CheckArgs) -> Result<Exit, CliError> {
    let config = context.config()?.config;
    let graph = context.graph(&config)?;
    out::print(&describe(context.job, &graph, &config))?;
    let problems = graph.problems(config.key_groups);
    if !problems.is_empty() {
        return Err(CliError::Graph(problems));
    }
    if let Some(text) = &args.against {
        let manifest = wait_for(async {
            let (store, id) = stored::find(&config.checkpoint.path, text).await?;
            Ok::<_, CliError>(store.read_manifest(id).await?)
        })?;
        let dropped = args.drop_state.iter().cloned().collect();
        out::print(&against(context.job, &graph, &config, &manifest, &dropped)?)?;
    }
    if args.online {
        let about = online::about(context.job, &config);
        online::look(&graph, &about, |text| Ok(out::print(text)?))?;
    }
    out::print("\nok\n")?;
    Ok(Exit::Done)
}

/// Every operator with its place, parallelism and states.
pub(super) fn describe(job: &str, graph: &Graph, config: &Config) -> String {
    let states = graph.states(config.key_groups);
    let mut text = format!(
        "{job}: parallelism {}, {} key groups, checkpoints in '{}'\n",
        config.parallelism, config.key_groups, config.checkpoint.path
    );
    let parallelisms = parallelisms(graph, config.parallelism);
    for (id, node) in graph.nodes() {
        let parallelism = parallelisms[&id];
        let (step, uid, at) = (node.step, &node.uid, node.at);
        _ = writeln!(text, "\n{step} {uid}  x{parallelism}{}  {at}", bounded(node));
        for old in &node.formerly {
            _ = writeln!(text, "  formerly {old}");
        }
        for state in states.get(&node.uid).into_iter().flatten() {
            _ = writeln!(text, "  state {}: {}", state.name, spec(state));
        }
    }
    text
}

fn bounded(node: &Node) -> &'static str {
    match &node.kind {
        NodeKind::Source(source) if source.is_bounded() => "  bounded",
        NodeKind::Source(_) => "  unbounded",
        NodeKind::Operator(_) | NodeKind::Sink(_) => "",
    }
}

fn spec(state: &StateSpec) -> String {
    let kind = format!("{:?}", state.kind).to_lowercase();
    format!("{kind}, {} -> {}, {}", state.key, state.value, state.codec)
}

/// What becomes of everything in the checkpoint, or why it cannot be restored.
pub(super) fn against(
    job: &str,
    graph: &Graph,
    config: &Config,
    manifest: &Manifest,
    dropped: &BTreeSet<(Uid, String)>,
) -> Result<String, CliError> {
    manifest.check_job(job)?;
    manifest.check_key_groups(config.key_groups)?;
    let states = |(uid, entry): (&Uid, &crate::checkpoint::OperatorEntry)| {
        (uid.clone(), entry.states.clone())
    };
    let held: BTreeMap<Uid, Vec<StateSpec>> = manifest.operators.iter().map(states).collect();
    let plan = plan_restore(graph, config.key_groups, &held, dropped).map_err(CliError::Compat)?;
    let mut text =
        format!("\nagainst checkpoint {} of {}:\n", manifest.checkpoint, moment(manifest.created));
    for ((uid, state), restored) in &plan {
        let renamed = if *uid == restored.uid { "" } else { " (renamed)" };
        let migrated = if restored.migrate_from.is_some() { ", migrated" } else { "" };
        _ = writeln!(text, "  restored      {}/{state}{renamed}{migrated}", restored.uid);
    }
    for (uid, state) in new_states(graph, config, &plan) {
        _ = writeln!(text, "  starts empty  {uid}/{state}");
    }
    for (uid, state) in dropped {
        _ = writeln!(text, "  given up      {uid}/{state}");
    }
    text.push_str(&sources(graph, manifest));
    Ok(text)
}

fn new_states(graph: &Graph, config: &Config, plan: &RestorePlan) -> Vec<(Uid, String)> {
    let has = |uid: &Uid, state: &str| {
        plan.iter().any(|((_, name), restored)| restored.uid == *uid && name == state)
    };
    let all = graph.states(config.key_groups).into_iter();
    let each = all.flat_map(|(uid, states)| states.into_iter().map(move |s| (uid.clone(), s.name)));
    each.filter(|(uid, state)| !has(uid, state)).collect()
}

fn sources(graph: &Graph, manifest: &Manifest) -> String {
    let mut text = String::new();
    let names = |node: &Node, uid: &Uid| node.uid == *uid || node.formerly.contains(uid);
    for (uid, splits) in &manifest.sources {
        let node = graph.nodes().find(|(_, node)| names(node, uid));
        _ = match node {
            Some((_, node)) => {
                writeln!(text, "  goes on       {} ({} splits)", node.uid, splits.len())
            }
            None => writeln!(
                text,
                "  forgotten     the place of source {uid}: the job no longer reads it"
            ),
        };
    }
    let known = |node: &Node| manifest.sources.keys().any(|uid| names(node, uid));
    for (_, node) in graph.nodes() {
        if matches!(node.kind, NodeKind::Source(_)) && !known(node) {
            _ = writeln!(text, "  from its beginning  {}", node.uid);
        }
    }
    text
}
