//! What `check --online` tells, and that `txn abort` ends no run that is alive.

use std::ffi::OsString;

use riverrun_engine::outside::Finding;
use riverrun_engine::time::at;

use super::graphs::{reaching, spend};
use crate::checkpoint::{LockInfo, StoreLock};
use crate::cli::error::CliError;
use crate::cli::{Exit, main_with, online};
use crate::config::{Config, ConfigSources};

fn look(findings: &[Finding]) -> (String, Result<(), CliError>) {
    let config = Config::load("card-fraud", &ConfigSources::default()).expect("loads").config;
    let mut text = String::new();
    let graph = reaching(findings);
    let looked = online::look(&graph, &online::about("card-fraud", &config), |part| {
        text.push_str(part);
        Ok(())
    });
    (text, looked)
}

#[test]
fn what_all_sinks_share_is_told_once_and_what_is_bad_fails() {
    let good = Finding::good("topic 'a' has 3 partitions");
    let doubtful = Finding::doubtful("no replicas", "add some\nor more");
    let (text, looked) = look(&[good.clone(), doubtful.clone()]);
    looked.expect("nothing is bad");
    let expected = "
online first
  ok    topic 'a' has 3 partitions
  warn  no replicas
         add some
         or more

online second
";
    assert_eq!(text, expected);
    let (text, looked) = look(&[good, Finding::bad("no topic", "make it")]);
    assert!(text.contains("  FAIL  no topic\n         make it\n"), "{text}");
    let error = looked.expect_err("something is bad");
    assert!(error.to_string().contains("1 thing is not as it must be"), "{error}");
    assert_eq!(error.exit(), Exit::Outside);
}

#[test]
fn a_job_that_reaches_nothing_says_so() {
    let config = Config::load("card-fraud", &ConfigSources::default()).expect("loads").config;
    let mut text = String::new();
    let about = online::about("card-fraud", &config);
    let looked = online::look(&spend(), &about, |part| {
        text.push_str(part);
        Ok(())
    });
    looked.expect("nothing is bad");
    assert!(text.contains("no source or sink of this job reaches anything"), "{text}");
}

#[test]
fn transactions_are_aborted_while_no_run_is_alive() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    let flag = format!("checkpoint.path={path}");
    let txn = |order: &str| {
        let words = ["job", "--conf", &flag, "txn", order].map(OsString::from);
        main_with("card-fraud", &|_| Ok(reaching(&[Finding::good("here")])), words)
    };
    assert_eq!(txn("ls"), Exit::Done);
    assert_eq!(txn("abort"), Exit::Done);
    let info = LockInfo {
        pid: 7,
        job: "card-fraud".to_owned(),
        since: at(0),
        attempt: "a".to_owned(),
        control_port: None,
        control_token: String::new(),
    };
    let _held = StoreLock::acquire(path, &info).expect("is free");
    assert_eq!(txn("ls"), Exit::Done);
    assert_eq!(txn("abort"), Exit::Held);
}
