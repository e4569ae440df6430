//! A [`Job`]: the graph that a pipeline is writing, and the settings it may read.
//!
//! Made by whoever runs the job, lent to the user's pipeline, taken back as a graph. Writing a
//! pipeline never fails and never panics: what is wrong is found by `Graph::problems`, all at once,
//! each with the user's line (so everything here and in the streams is `#[track_caller]`).

use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use anyhow::Context as _;
use riverrun_engine::Result;
use riverrun_engine::erased::erase_source;
use riverrun_engine::graph::{Graph, Node, NodeId, NodeKind, Partitioning, Uid};
use riverrun_engine::output::Port;
use riverrun_engine::source::Source;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::stream::Stream;

/// A named pipeline in the making: `fn pipeline(job: &Job) -> Result<()>`.
#[derive(Debug, Default)]
pub struct Job {
    graph: SharedGraph,
    settings: Value,
}

impl Job {
    /// A job without steps; `settings` are the job's own parameters, an object.
    #[must_use]
    pub fn new(settings: Value) -> Self {
        Job { graph: SharedGraph::default(), settings }
    }

    /// Reads from `source`. The uid is permanent: checkpoints keep the source's place under it.
    #[track_caller]
    pub fn source<S: Source>(&self, uid: &str, source: S) -> Stream<S::Item> {
        let source = erase_source(source);
        let step = Step { has_clock: Some(source.has_clock()), ..Step::named("source", uid) };
        let node = self.graph.add(step, NodeKind::Source(source), &[]);
        Stream::new(self.graph.clone(), node)
    }

    /// The job's own parameters: what `--set k=v`, the environment and `job.toml` say, as `S`.
    ///
    /// # Errors
    /// A parameter that is missing, unknown to `S` or of another type, by its name.
    pub fn settings<S: DeserializeOwned>(&self) -> Result<S> {
        let settings = match &self.settings {
            Value::Null => Value::Object(serde_json::Map::new()),
            given => given.clone(),
        };
        match serde_json::from_value(settings.clone()) {
            Ok(settings) => Ok(settings),
            Err(error) => {
                let what = culprit::<S>(settings, &error.to_string())
                    .map_or("the job's settings".to_owned(), |key| format!("setting '{key}'"));
                Err(error).context(format!("{what} cannot be read"))
            }
        }
    }

    /// The graph as far as it is written.
    #[must_use]
    pub fn graph(&self) -> Graph {
        self.graph.0.borrow().clone()
    }

    /// The finished graph.
    #[must_use]
    pub fn into_graph(self) -> Graph {
        self.graph.0.take()
    }
}

/// The dotted name of the setting that `error` is about: the one without which it is not reported.
/// Missing and unknown settings are named by the error itself, then there is none.
fn culprit<S: DeserializeOwned>(mut settings: Value, error: &str) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let inner = names.iter().try_fold(&mut settings, |inner, name| inner.get_mut(name));
        let keys: Vec<String> =
            inner?.as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect();
        let gone = |key: &String| {
            let mut without = settings.clone();
            let inner = names.iter().try_fold(&mut without, |inner, name| inner.get_mut(name));
            inner.and_then(Value::as_object_mut).map(|object| object.remove(key));
            serde_json::from_value::<S>(without).err().is_none_or(|e| e.to_string() != error)
        };
        match keys.into_iter().find(gone) {
            Some(key) => names.push(key),
            None => break,
        }
    }
    (!names.is_empty()).then(|| names.join("."))
}

/// The graph that all streams of one job write into.
#[derive(Clone, Default)]
pub(crate) struct SharedGraph(Rc<RefCell<Graph>>);

impl fmt::Debug for SharedGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.borrow().fmt(f)
    }
}

/// An input of a step: whose output, and who takes which record.
pub(crate) type Input = (NodeId, Port, Partitioning);

/// What a step says of itself before it has a place in the graph. Made by [`Step::named`] or
/// [`Step::unnamed`] and struct update.
pub(crate) struct Step {
    /// What it does: `map`, `aggregate`.
    pub(crate) kind: &'static str,
    /// Its uid; without one the step gets `kind-n`.
    pub(crate) uid: Option<Uid>,
    /// Whether the uid is the user's.
    pub(crate) named: bool,
    /// The user's line.
    pub(crate) at: &'static Location<'static>,
    /// Whether it has a clock; without a word, as its inputs have.
    pub(crate) has_clock: Option<bool>,
    /// Whether its inputs must have a clock.
    pub(crate) needs_clock: bool,
    /// Settings that make no sense.
    pub(crate) problems: Vec<String>,
}

impl Step {
    /// A step that owns state, under the user's uid, at the caller's line.
    #[track_caller]
    pub(crate) fn named(kind: &'static str, uid: &str) -> Self {
        Step { uid: Some(Uid::new(uid)), named: true, ..Step::unnamed(kind) }
    }

    /// A step that owns nothing, at the caller's line.
    #[track_caller]
    pub(crate) fn unnamed(kind: &'static str) -> Self {
        let at = Location::caller();
        Step {
            kind,
            uid: None,
            named: false,
            at,
            has_clock: None,
            needs_clock: false,
            problems: Vec::new(),
        }
    }
}

impl SharedGraph {
    /// Writes a step down.
    pub(crate) fn add(&self, step: Step, kind: NodeKind, inputs: &[Input]) -> NodeId {
        let mut graph = self.0.borrow_mut();
        let number = graph.nodes().count();
        let uid = step.uid.unwrap_or_else(|| Uid::new(&format!("{}-{number}", step.kind)));
        let inherited = || inputs.iter().all(|(from, ..)| graph.node(*from).has_clock);
        let node = Node {
            uid,
            named: step.named,
            formerly: Vec::new(),
            step: step.kind,
            at: step.at,
            parallelism: None,
            kind,
            has_clock: step.has_clock.unwrap_or_else(inherited),
            needs_clock: step.needs_clock,
            problems: step.problems,
        };
        graph.add(node, inputs)
    }

    /// How many steps of this kind there are.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.0.borrow().nodes().filter(|(_, node)| node.step == kind).count()
    }

    /// Whether both are the graph of one job.
    pub(crate) fn is(&self, other: &SharedGraph) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn change(&self, node: NodeId, change: impl FnOnce(&mut Node)) {
        change(self.0.borrow_mut().node_mut(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Limits {
        cents: i64,
        inner: Inner,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Inner {
        a: u8,
        b: u8,
    }

    fn error_of(settings: Value) -> String {
        format!("{:#}", Job::new(settings).settings::<Limits>().expect_err("wrong"))
    }

    #[test]
    fn settings_are_read_and_errors_name_the_key() {
        assert_eq!(Job::default().settings::<Limits>().expect("defaults"), Limits::default());
        let job = Job::new(json!({"cents": 7, "inner": {"b": 2}}));
        let wanted = Limits { cents: 7, inner: Inner { a: 0, b: 2 } };
        assert_eq!(job.settings::<Limits>().expect("reads"), wanted);
        assert!(error_of(json!({"cents": "many"})).contains("setting 'cents'"));
        let nested = error_of(json!({"cents": 7, "inner": {"a": 1, "b": 2000}}));
        assert!(nested.contains("setting 'inner.b'"), "{nested}");
        assert!(error_of(json!({"sents": 7})).contains("sents"));
    }
}
