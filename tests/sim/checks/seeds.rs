//! Some seeds of the simulation at each change, and that a seed repeats exactly.

#![allow(clippy::disallowed_methods, reason = "a test of processes")]

use std::process::Command;

fn sim(words: &[&str]) -> (bool, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_riverrun-sim")).args(words).output();
    let ran = ran.expect("the simulation starts");
    (ran.status.success(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[test]
fn seeds_find_nothing() {
    let (passed, told) = sim(&["--seeds", "500"]);
    assert!(passed, "{told}");
    assert!(told.contains("500 seeds: 0 findings"), "{told}");
}

#[test]
fn a_seed_repeats_exactly_in_another_process() {
    for seed in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        let (first, second) = (sim(&["--seed", seed]), sim(&["--seed", seed]));
        assert!(first.1.contains("trace "), "{}", first.1);
        assert_eq!(first, second);
    }
}
