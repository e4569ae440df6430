//! The participants of a job's commit, called in the order of `riverrun_engine::sink`.

use std::collections::BTreeMap;

use riverrun_engine::checkpoint::{CheckpointId, CheckpointName, Prepared};
use riverrun_engine::context::TaskContext;
use riverrun_engine::graph::{Graph, Node, NodeKind, Uid};
use riverrun_engine::operator::Result;
use riverrun_engine::sink::{Participant, Role};

/// All participants, by name.
#[derive(Default)]
pub struct Participants {
    by_name: BTreeMap<String, Box<dyn Participant>>,
    of_sink: BTreeMap<Uid, String>,
}

/// What each participant prepared.
pub type PreparedBy = BTreeMap<String, Vec<Prepared>>;

impl Participants {
    /// Asks every sink for its participant.
    ///
    /// # Errors
    /// When two participants want to decide: their outputs could not become visible together.
    pub fn of(graph: &Graph, context: impl Fn(&Node) -> TaskContext) -> Result<Self> {
        let mut found = Participants::default();
        for (_, node) in graph.nodes() {
            let NodeKind::Sink(sink) = &node.kind else { continue };
            if let Some((name, participant)) = sink.participant(&context(node)) {
                found.of_sink.insert(node.uid.clone(), name.clone());
                found.by_name.entry(name).or_insert(participant);
            }
        }
        let deciding = found.by_name.iter().filter(|(_, p)| p.role() == Role::Decides);
        let names: Vec<&str> = deciding.map(|(name, _)| name.as_str()).collect();
        anyhow::ensure!(
            names.len() < 2,
            "{} each decide by themselves when output becomes visible, so they cannot commit \
             together: write to one of them, or set one to at least once",
            names.join(" and ")
        );
        Ok(found)
    }

    fn deciding(&mut self) -> Option<&mut Box<dyn Participant>> {
        self.by_name.values_mut().find(|participant| participant.role() == Role::Decides)
    }

    /// What can be seen of the last decision without fencing anybody; `None` when that cannot be
    /// told, or the checkpoint store decides.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn visible(&mut self) -> Result<Option<Option<CheckpointName>>> {
        match self.deciding() {
            Some(participant) => participant.visible().await,
            None => Ok(None),
        }
    }

    /// What the deciding participant says; `None` when the checkpoint store decides.
    ///
    /// # Errors
    /// When it cannot be known.
    pub async fn decided(&mut self) -> Result<Option<Option<CheckpointName>>> {
        match self.deciding() {
            Some(participant) => participant.decided().await.map(Some),
            None => Ok(None),
        }
    }

    /// The job goes on from `checkpoint`.
    ///
    /// # Errors
    /// A participant that cannot.
    pub async fn recover(
        &mut self,
        checkpoint: Option<&CheckpointName>,
        prepared: &PreparedBy,
    ) -> Result<()> {
        for (name, own) in prepared.iter().filter(|(_, own)| !own.is_empty()) {
            anyhow::ensure!(
                self.by_name.contains_key(name),
                "the checkpoint has output prepared for '{name}', which the job no longer writes \
                 to, \
                 and whether it became visible is not known: start once with the old setting, or \
                 begin anew with `--from none`; {} parts",
                own.len()
            );
        }
        for (name, participant) in &mut self.by_name {
            let own = prepared.get(name).cloned().unwrap_or_default();
            let recovered = participant.recover(checkpoint.cloned(), own).await;
            recovered.map_err(|e| e.context(format!("'{name}' cannot go on")))?;
        }
        Ok(())
    }

    /// Sorts what sinks prepared by their participants.
    ///
    /// # Errors
    /// A sink that prepares output and has no participant: nobody would ever commit it.
    pub fn sort(&self, prepared: Vec<Prepared>) -> Result<PreparedBy> {
        let mut sorted = PreparedBy::new();
        for one in prepared {
            let name = self.of_sink.get(&one.sink).ok_or_else(|| {
                let sink = &one.sink;
                anyhow::anyhow!("sink '{sink}' prepares output but has no participant to commit it")
            })?;
            sorted.entry(name.clone()).or_default().push(one);
        }
        Ok(sorted)
    }

    /// All writers have prepared `checkpoint`.
    ///
    /// # Errors
    /// A participant that cannot.
    pub async fn prepared(&mut self, checkpoint: CheckpointId, all: &PreparedBy) -> Result<()> {
        for (name, participant) in &mut self.by_name {
            let own = all.get(name).map(Vec::as_slice).unwrap_or_default();
            let done = participant.prepared(checkpoint, own).await;
            done.map_err(|e| e.context(format!("'{name}' cannot prepare")))?;
        }
        Ok(())
    }

    /// Whether a participant decides, not the checkpoint store. Then no checkpoint can be left out:
    /// its output lies in a transaction that only its own marker can end.
    pub fn decides(&mut self) -> bool {
        self.deciding().is_some()
    }

    /// Commits `checkpoint` where it is decided.
    ///
    /// # Errors
    /// When it cannot; the recovery will find out what became of it.
    pub async fn decide(&mut self, checkpoint: CheckpointId, all: &PreparedBy) -> Result<()> {
        self.commit(Role::Decides, checkpoint, all).await
    }

    /// Commits `checkpoint` where the decision is followed.
    ///
    /// # Errors
    /// A participant that cannot.
    pub async fn follow(&mut self, checkpoint: CheckpointId, all: &PreparedBy) -> Result<()> {
        self.commit(Role::Follows, checkpoint, all).await
    }

    async fn commit(&mut self, role: Role, at: CheckpointId, all: &PreparedBy) -> Result<()> {
        let of_role = self.by_name.iter_mut().filter(|(_, p)| p.role() == role);
        for (name, participant) in of_role {
            let own = all.get(name).cloned().unwrap_or_default();
            let done = participant.commit(at, own).await;
            done.map_err(|e| e.context(format!("'{name}' cannot commit")))?;
        }
        Ok(())
    }
}
