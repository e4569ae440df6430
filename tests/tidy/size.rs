//! A file says one thing, a function fits a screen, a line fits its width; and no `cfg` inside a
//! function, where a feature should have picked a file.

use std::ops::Range;

use crate::mask::Masked;
use crate::tree::{File, Finding};

const FILE_LINES_MAX: usize = 600;
const FILE_LINES_SMELL: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;
const EXAMPLE_LINES_MAX: usize = 110;

/// Files that are too long.
pub(crate) fn files(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    if !file.is_rust() || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    let what = format!("the file has {lines} lines, the limit is {FILE_LINES_MAX}");
    vec![file.finding(lines, what, "split it where it says a second thing")]
}

/// Files that grow too long: worth a word, no failure.
pub(crate) fn smells(file: &File) -> Option<String> {
    let lines = file.text.lines().count();
    let smells = file.is_rust() && lines > FILE_LINES_SMELL;
    smells.then(|| format!("{}: {lines} lines, over {FILE_LINES_SMELL} is a smell", file.path))
}

/// Examples that are too long.
pub(crate) fn examples(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    if !file.is_rust() || file.member() != "examples" || lines <= EXAMPLE_LINES_MAX {
        return Vec::new();
    }
    let what = format!("the example has {lines} lines, the limit is {EXAMPLE_LINES_MAX}");
    vec![file.finding(lines, what, "show one thing, and leave the rest to another example")]
}

/// Lines that are too wide.
pub(crate) fn lines(file: &File) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let numbered = file.text.lines().enumerate();
    let wide = numbered.filter_map(|(i, line)| {
        let columns = line.chars().count();
        let what = || format!("the line is {columns} columns wide, the limit {LINE_COLUMNS_MAX}");
        (columns > LINE_COLUMNS_MAX).then(|| file.finding(i + 1, what(), "break it"))
    });
    wide.collect()
}

/// Functions that do not fit a screen. Tests may be long: they are tables.
pub(crate) fn functions(file: &File) -> Vec<Finding> {
    let only_tests = file.path.contains("/tests/")
        || file.path.ends_with("/tests.rs")
        || file.path.ends_with("_tests.rs");
    let ours = file.is_source() || matches!(file.member(), "examples" | "benches");
    if !ours || only_tests {
        return Vec::new();
    }
    let long = bodies(&file.masked).into_iter().filter_map(|function| {
        let first = file.masked.line_of(function.start);
        let lines = file.masked.line_of(function.end - 1) + 1 - first;
        let what = || format!("the function has {lines} lines, the limit is {FUNCTION_LINES_MAX}");
        (lines > FUNCTION_LINES_MAX)
            .then(|| file.finding(first, what(), "take a step out of it and give it a name"))
    });
    long.collect()
}

/// A `cfg` inside a function. `debug_assertions` may stand there: it chooses no feature.
pub(crate) fn cfgs(file: &File) -> Vec<Finding> {
    if !file.is_source() {
        return Vec::new();
    }
    let bodies = bodies(&file.masked);
    let inside = |at: &usize| bodies.iter().any(|body| body.contains(at));
    let found = file.masked.words("cfg").into_iter().filter(inside).filter_map(|at| {
        let rest: String = file.masked.code[at + 3..].iter().take(24).collect();
        let asks = rest.trim_start_matches('!').starts_with('(');
        let line = file.masked.line_of(at);
        let what = || "`cfg` inside a function".to_owned();
        (asks && !rest.contains("debug_assertions"))
            .then(|| file.finding(line, what(), "let the feature pick a file, as a `mod` line"))
    });
    found.collect()
}

/// Every function outside tests, from its `fn` to its closing brace.
fn bodies(masked: &Masked) -> Vec<Range<usize>> {
    let tests = tests(masked);
    let outside = |at: &usize| !tests.iter().any(|t| t.contains(at));
    let named = |at: &usize| masked.code[at + 2..].iter().find(|c| !c.is_whitespace());
    let functions = masked.words("fn").into_iter().filter(outside);
    functions
        .filter(|at| named(at).is_some_and(|c| *c != '('))
        .filter_map(|at| masked.block(at).map(|block| at..block.end))
        .collect()
}

/// Every item that only tests see: what follows `#[cfg(test)]` or `#[test]`.
fn tests(masked: &Masked) -> Vec<Range<usize>> {
    let marks = ["#[cfg(test)]", "#[cfg(all(test", "#[test]"];
    let mut items = Vec::new();
    for mark in marks {
        let wanted: Vec<char> = mark.chars().collect();
        for at in 0..masked.code.len() {
            if masked.code[at..].starts_with(&wanted) {
                let block = masked.block(at + wanted.len());
                items.extend(block.map(|block| at..block.end));
            }
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> File {
        File::new("engine/src/planted.rs", text)
    }

    #[test]
    fn long_files_lines_and_examples_are_found() {
        assert_eq!(files(&source(&"x\n".repeat(600))), []);
        assert_eq!(files(&source(&"x\n".repeat(601))).len(), 1);
        assert!(smells(&source(&"x\n".repeat(401))).is_some());
        let wide = lines(&source(&format!("ok\n{}\n", "x".repeat(101))));
        assert_eq!(wide[0].at, "engine/src/planted.rs:2");
        assert_eq!(examples(&File::new("examples/a.rs", &"x\n".repeat(111))).len(), 1);
        assert_eq!(examples(&File::new("examples/a.csv", &"x\n".repeat(111))), []);
    }

    #[test]
    fn long_functions_are_found_and_tests_are_not() {
        let body = format!("fn f() {{\n{}}}\n", "    \"}\";\n".repeat(69));
        assert_eq!(functions(&source(&format!("//! x\n{body}")))[0].at, "engine/src/planted.rs:2");
        assert_eq!(functions(&source(&format!("#[cfg(test)]\nmod tests {{\n{body}}}"))), []);
        let apart = File::new("engine/src/gate/tests.rs", &body);
        assert_eq!(functions(&apart), []);
        assert_eq!(functions(&source("fn f() {\n}\nfn g(f: fn(u8)) {}\nfn h();\n")), []);
    }

    #[test]
    fn cfg_inside_a_function_is_found() {
        let bad = "#[cfg(unix)]\nfn f() {\n    #[cfg(feature = \"s3\")]\n    a();\n}\n";
        assert_eq!(cfgs(&source(bad))[0].at, "engine/src/planted.rs:3");
        assert_eq!(cfgs(&source("fn f() { let cfg = x; if cfg!(debug_assertions) {} }")), []);
        assert_eq!(cfgs(&source("fn f() { if cfg!(unix) {} }")).len(), 1);
    }
}
