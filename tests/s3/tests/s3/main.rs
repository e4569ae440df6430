//! Checkpoints on `s3://`: killed and restored elsewhere, one run at a time, damage named, and a
//! server that fails or is slow. Processes are real, the server is one of the registry's.
#![allow(clippy::disallowed_methods, reason = "a test of processes")]

mod rig;
mod server;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rig::{AT_ONCE, Run, SLOWLY, newest_segment, said, signal};
use rustix::process::Signal;
use server::Server;

/// What a dead run's lock may cost the next: the lease, some looks, and the start of a process.
const FREE_WITHIN: Duration = Duration::from_secs(16);

/// Exit codes: a checkpoint that cannot be restored, checkpoints that another run holds.
const UNREADABLE: i32 = 4;
const LOCKED: i32 = 5;

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn golden(server: &Server) -> Vec<String> {
    let run = Run::new(server, "golden");
    run.to_its_end(1, AT_ONCE);
    let lines = run.lines();
    assert!(lines.len() > 1000, "the job writes something: {}", lines.len());
    lines
}

#[test]
fn killed_on_one_parallelism_it_goes_on_at_another_and_nobody_else_may_meanwhile() {
    let server = Server::start();
    let golden = golden(&server);
    let run = Run::new(&server, "killed");
    for parallelism in [2, 3] {
        let mut child = run.start(parallelism, SLOWLY);
        run.await_checkpoint();
        pause(700);
        // The lock is renewed while the second run looks at it.
        let (ended, said) = said(run.start(1, AT_ONCE));
        assert_eq!(ended.status.code(), Some(LOCKED), "{said}");
        assert!(said.contains("RR0220") && said.contains(&child.id().to_string()), "{said}");
        let running = child.try_wait().expect("watched").is_none();
        child.kill().expect("SIGKILL");
        child.wait().expect("is dead");
        assert!(running || parallelism == 3, "the first kill comes before the end");
    }
    let began = Instant::now();
    let child = run.start(1, AT_ONCE);
    let (ended, said) = said(child);
    assert!(ended.status.success(), "{said}");
    assert!(began.elapsed() < FREE_WITHIN, "the way was free after {:?}", began.elapsed());
    assert_eq!(run.lines(), golden);
}

#[test]
fn a_run_that_slept_through_its_lease_is_fenced() {
    let server = Server::start();
    let golden = golden(&server);
    let run = Run::new(&server, "fenced");
    let sleeper = run.start(2, 2_000);
    run.await_checkpoint();
    signal(&sleeper, Signal::STOP);
    let said_by_second = run.to_its_end(3, AT_ONCE);
    assert!(said_by_second.contains("sign of life"), "{said_by_second}");
    signal(&sleeper, Signal::CONT);
    let (ended, said) = said(sleeper);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("RR0223"), "{said}");
    assert_eq!(run.lines(), golden, "what the first had not committed stays invisible");
}

#[test]
fn a_damaged_object_is_refused_by_name() {
    let server = Server::start();
    let run = Run::new(&server, "damaged");
    let child = run.start(2, SLOWLY);
    run.await_checkpoint();
    signal(&child, Signal::TERM);
    let (ended, text) = said(child);
    assert!(ended.status.success(), "{text}");
    let segment = newest_segment(&server.folder("damaged"));
    let good = std::fs::read(&segment).expect("it is there");
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    std::fs::write(&segment, bad).expect("writes");
    let (ended, text) = said(run.start(1, AT_ONCE));
    assert_eq!(ended.status.code(), Some(UNREADABLE), "{text}");
    let name = segment.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(text.contains("RR0204") && text.contains(&name), "{text}");
    std::fs::write(&segment, good).expect("writes");
    run.to_its_end(1, AT_ONCE);
    assert_eq!(run.lines(), golden(&server));
}

#[test]
fn a_server_that_fails_fails_checkpoints_and_not_the_job() {
    let server = Server::start();
    let golden = golden(&server);
    let run = Run::new(&server, "failing");
    let child = run.start(2, 4_000);
    run.await_checkpoint();
    server.faults.failing.store(1, Ordering::Release);
    pause(4_000);
    server.faults.failing.store(0, Ordering::Release);
    let (ended, said) = said(child);
    assert!(ended.status.success(), "{said}");
    assert!(server.faults.refused.load(Ordering::Acquire) > 1, "it refused some");
    assert!(said.contains("checkpoint failed, the job goes on"), "visibly: {said}");
    assert!(said.contains("RR0206"), "with the reason: {said}");
    assert_eq!(run.lines(), golden);
}

#[test]
fn a_slow_server_slows_checkpoints_and_loses_nothing() {
    let server = Server::start();
    let golden = golden(&server);
    let run = Run::new(&server, "slow");
    server.faults.delay_ms.store(700, Ordering::Release);
    run.to_its_end(2, SLOWLY);
    assert_eq!(run.lines(), golden);
}
