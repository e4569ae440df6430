//! Holds what a program can hold of the house rules: the star, the size of files and functions,
//! the glossary, and that nothing is dead, unnamed or tied to one machine. Each rule is a function
//! from a file to its breaches, with planted ones in its own tests, so that it can fail.
//!
//! `cargo test --no-default-features --test tidy`

#![allow(clippy::disallowed_methods, reason = "reads the repository, is no part of a job")]
#![allow(clippy::print_stderr, reason = "warnings go to whoever runs the tests")]

mod dead;
mod mask;
mod places;
mod size;
mod star;
mod tree;
mod words;

use std::path::Path;
use std::sync::LazyLock;

use tree::{File, Finding};

static FILES: LazyLock<Vec<File>> =
    LazyLock::new(|| tree::read(Path::new(env!("CARGO_MANIFEST_DIR"))));

/// Fails with every breach of `rules` in the repository, one a line.
fn hold(rules: &[fn(&File) -> Vec<Finding>]) {
    let breaches: Vec<String> = FILES
        .iter()
        .flat_map(|file| rules.iter().flat_map(move |rule| rule(file)))
        .map(|finding| finding.to_string())
        .collect();
    assert!(breaches.is_empty(), "{} breaches\n{}", breaches.len(), breaches.join("\n"));
}

#[test]
fn the_repository_is_read() {
    for path in ["Cargo.toml", "Cargo.lock", "engine/src/lib.rs", "tests/tidy/main.rs"] {
        assert!(FILES.iter().any(|file| file.path == path), "{path} is missing");
    }
}

#[test]
fn spokes_know_only_the_engine() {
    hold(&[star::manifests, star::paths]);
}

#[test]
fn every_dependency_comes_from_the_registry() {
    hold(&[star::sources]);
}

#[test]
fn files_are_short() {
    for smell in FILES.iter().filter_map(size::smells) {
        eprintln!("warning: {smell}");
    }
    hold(&[size::files, size::examples]);
}

#[test]
fn functions_fit_a_screen() {
    hold(&[size::functions]);
}

#[test]
fn lines_fit_their_width() {
    hold(&[size::lines]);
}

#[test]
fn features_pick_files() {
    hold(&[size::cfgs]);
}

#[test]
fn words_are_the_glossarys() {
    hold(&[words::check]);
}

#[test]
fn every_file_says_what_it_is() {
    hold(&[places::openings]);
}

#[test]
fn nothing_is_tied_to_one_machine() {
    hold(&[places::machines]);
}

#[test]
fn nothing_is_dead() {
    hold(&[dead::commented, dead::twins, dead::unfinished]);
}
