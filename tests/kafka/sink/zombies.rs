//! Cases 11 to 13, 26, 35: transactions that expire, runs that were thought dead.

use std::time::Duration;

use rustix::process::Signal;

use super::numbers::{RECORDS, check, copy, signal, start};
use crate::rig::{BROKER, LIMIT, World, await_checkpoints, end_of};

#[test]
fn case_13_a_run_thought_dead_wakes_up_after_another_took_over() {
    let address = BROKER.address().to_string();
    BROKER.create_topic("zombie-out", 2, &[]).expect("makes");
    let (first, second) = (World::new("zombie"), World::new("zombie"));
    let zombie = start(&address, &first, "zombie-out");
    await_checkpoints(first.folder.path());
    signal(&zombie, Signal::STOP);
    copy(first.folder.path(), second.folder.path());
    let owner = start(&address, &second, "zombie-out");
    await_checkpoints(second.folder.path());
    signal(&zombie, Signal::CONT);
    let (ended, said) = end_of(zombie, LIMIT);
    assert_eq!(ended, Some(false), "it must not go on");
    assert!(said.contains("RR0404") && said.contains("taken over"), "{said}");
    let (ended, said) = end_of(owner, LIMIT);
    assert_eq!(ended, Some(true), "{said}");
    check(&BROKER, "zombie-out", RECORDS);
}

#[test]
fn cases_11_and_12_a_transaction_expires_while_the_job_stands_still_or_is_down() {
    let address = BROKER.address().to_string();
    BROKER.create_topic("expired-out", 2, &[]).expect("makes");
    let world = World::new("expired");
    let process = start(&address, &world, "expired-out");
    await_checkpoints(world.folder.path());
    // While it stands still.
    signal(&process, Signal::STOP);
    std::thread::sleep(Duration::from_secs(14));
    signal(&process, Signal::CONT);
    await_checkpoints(world.folder.path());
    // While it is down.
    let (ended, _) = end_of(process, Duration::ZERO);
    assert_eq!(ended, None);
    std::thread::sleep(Duration::from_secs(14));
    let (ended, said) = end_of(start(&address, &world, "expired-out"), LIMIT);
    assert_eq!(ended, Some(true), "{said}");
    check(&BROKER, "expired-out", RECORDS);
}
