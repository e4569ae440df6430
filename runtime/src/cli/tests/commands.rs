//! Whole commands and their exit codes; orders to a run that is played by hand.

use std::ffi::OsString;

use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::graph::Graph;
use riverrun_engine::time::at;

use super::graphs::spend;
use crate::checkpoint::{LockInfo, StoreLock};
use crate::cli::{Exit, main_with};
use crate::control::{Command, CommandKind, Signals, serve};
use crate::doors;

fn job(graph: fn() -> Graph, path: &str, line: &str) -> Exit {
    let path = format!("checkpoint.path={path}");
    let words = ["job", "--conf", &path].into_iter().chain(line.split_whitespace());
    main_with("card-fraud", &|_| Ok(graph()), words.map(OsString::from))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn exit_codes() {
    let folder = folder();
    let path = folder.path().to_str().expect("text");
    let nowhere = format!("{path}/nowhere");
    for (line, exit) in [
        ("", Exit::Usage),
        ("--help", Exit::Done),
        ("rum", Exit::Usage),
        ("check", Exit::Done),
        ("check --parallelism 0", Exit::Usage),
        ("check --config /nowhere.toml", Exit::Usage),
        ("check --against newest", Exit::Checkpoint),
        ("check --online", Exit::Done),
        ("txn ls", Exit::Done),
        ("txn abort", Exit::Done),
        ("txn", Exit::Usage),
        ("check --against 7", Exit::Checkpoint),
        ("check --against seven", Exit::Usage),
        ("graph", Exit::Done),
        ("config show --origin", Exit::Done),
        ("checkpoint ls", Exit::Done),
        ("checkpoint ls --json", Exit::Done),
        ("checkpoint inspect", Exit::Checkpoint),
        ("checkpoint verify", Exit::Checkpoint),
        ("state ls", Exit::Checkpoint),
        ("state scan --checkpoint 7", Exit::Checkpoint),
        ("state get spend", Exit::Usage),
        ("state scan --prefix 7", Exit::Usage),
        ("savepoint", Exit::Failed),
        ("stop", Exit::Failed),
    ] {
        assert_eq!(job(spend, path, line), exit, "{line}");
    }
    assert_eq!(job(spend, &nowhere, "checkpoint ls"), Exit::Done);
    assert_eq!(job(Graph::default, path, "check"), Exit::Graph);
    assert_eq!(job(Graph::default, path, "run"), Exit::Graph);
    assert_eq!(job(Graph::default, path, "graph --dot"), Exit::Done);
}

#[test]
fn state_is_shown_without_the_jobs_graph() {
    let folder = folder();
    let path = folder.path().to_str().expect("text");
    super::held::usual().write(path, 1, None);
    let path = format!("checkpoint.path={path}");
    for (line, exit) in [
        ("state ls", Exit::Done),
        ("state ls --json", Exit::Done),
        ("state scan", Exit::Done),
        ("state scan spend per-minute --limit 1 --checkpoint 1", Exit::Done),
        ("state get spend per-minute shop", Exit::Done),
        ("state get spend per-minute none", Exit::Failed),
        ("state get spend nothing -1", Exit::Failed),
        ("state get spend nothing x", Exit::Usage),
        ("state get no per-minute shop", Exit::Usage),
        ("state export spend total --to /nowhere/a.txt", Exit::Usage),
        ("checkpoint inspect", Exit::Done),
        ("checkpoint inspect --json", Exit::Done),
    ] {
        let words = ["job", "--conf", &path].into_iter().chain(line.split_whitespace());
        let build = |_: &serde_json::Value| anyhow::bail!("the graph is not asked for");
        assert_eq!(main_with("card-fraud", &build, words.map(OsString::from)), exit, "{line}");
    }
}

#[test]
fn a_pipeline_that_fails_is_the_users_to_mend() {
    let words = ["job", "check"].map(OsString::from);
    let exit = main_with("x", &|_| anyhow::bail!("setting 'speed' cannot be read"), words);
    assert_eq!(exit, Exit::Usage);
    let words = ["job", "check"].map(OsString::from);
    assert_eq!(main_with("../x", &|_| Ok(spend()), words), Exit::Usage);
}

#[test]
fn every_code_is_another() {
    let all = [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Graph,
        Exit::Checkpoint,
        Exit::Held,
        Exit::Aborted,
    ];
    assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5, 130]);
}

#[test]
fn orders_reach_the_run_that_holds_the_checkpoints() {
    let folder = folder();
    let path = folder.path().to_str().expect("text").to_owned();
    let (mut control, door) = serve(Signals::Ignored).expect("opens");
    let info = LockInfo {
        pid: std::process::id(),
        job: "card-fraud".to_owned(),
        attempt: "a".to_owned(),
        since: at(0),
        control_port: Some(control.address.port),
        control_token: control.address.token.clone(),
    };
    let lock = StoreLock::acquire(&path, &info).expect("locks");
    let run = doors::spawn_thread("run", move || {
        let mut seen = Vec::new();
        for answer in [Ok(CheckpointId(7)), Err("it failed".to_owned()), Ok(CheckpointId(8))] {
            let Command { kind, reply } = control.commands.blocking_recv().expect("an order");
            seen.push(kind);
            drop(reply.send(answer));
        }
        seen
    });
    assert_eq!(job(spend, &path, "savepoint"), Exit::Done);
    assert_eq!(job(spend, &path, "savepoint"), Exit::Failed);
    assert_eq!(job(spend, &path, "stop --savepoint"), Exit::Done);
    let expected =
        [CommandKind::Savepoint, CommandKind::Savepoint, CommandKind::Stop { savepoint: true }];
    assert_eq!(run.join().expect("runs"), expected);
    door.close();
    drop(lock);
    assert_eq!(job(spend, &path, "stop"), Exit::Failed);
}
