//! Every file says what it is, and none says where it was made.

use crate::tree::{File, Finding};

/// Folders of one machine, and hosts of package registries: what holds here breaks elsewhere.
/// Written in two halves, so that this file does not breach the rule it holds.
const MACHINES: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
const HOSTS: [&str; 7] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("npmjs", ".com"),
    concat!("npmjs", ".org"),
    concat!("maven", ".org"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
];

/// Rust files that do not open with what they are.
pub(crate) fn openings(file: &File) -> Vec<Finding> {
    let opens = ["//!", "#![doc = include_str!("].iter().any(|o| file.text.starts_with(o));
    if !file.is_rust() || opens {
        return Vec::new();
    }
    let what = "the file does not open with `//!`".to_owned();
    vec![file.finding(1, what, "say what it is, who calls it and what always holds")]
}

/// Paths of one machine and hosts of registries. The lock file names its registry by rights.
pub(crate) fn machines(file: &File) -> Vec<Finding> {
    if file.path.ends_with("Cargo.lock") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (i, line) in file.text.lines().enumerate() {
        for folder in MACHINES.iter().filter(|folder| begins_path(line, folder)) {
            let what = format!("a path of one machine, `{folder}`");
            findings.push(file.finding(i + 1, what, "say it from the root of the repository"));
        }
        for host in HOSTS.iter().filter(|host| line.contains(**host)) {
            let what = format!("a registry's host, `{host}`");
            findings.push(file.finding(i + 1, what, "name the package, not where it lies"));
        }
    }
    findings
}

/// Whether `folder` begins a path in `line`, rather than lying within one.
fn begins_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_-.}/".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_found() {
        assert_eq!(openings(&File::new("engine/src/a.rs", "use x;\n"))[0].at, "engine/src/a.rs:1");
        assert_eq!(openings(&File::new("engine/src/a.rs", "//! A gate.\n")), []);
    }

    #[test]
    fn paths_of_a_machine_and_hosts_are_found() {
        for bad in MACHINES.iter().chain(&HOSTS) {
            let found = machines(&File::new("README.md", &format!("fine\nsee `{bad}x`\n")));
            assert_eq!(found.len(), 1, "{bad}");
            assert_eq!(found[0].at, "README.md:2");
        }
        let within = format!("target{}x", MACHINES[0]);
        assert_eq!(machines(&File::new("README.md", &within)), []);
    }
}
