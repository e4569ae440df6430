//! The star: `operators`, `connectors` and `runtime` know `engine` and never each other; `engine`
//! knows none of them; and every dependency comes from the registry, locked.

use crate::mask::is_word;
use crate::tree::{File, Finding};

const SPOKES: [&str; 3] = ["operators", "connectors", "runtime"];
const REMEDY: &str = "say it in a contract of `engine`; the facade alone joins the spokes";

/// What `engine` and `operators` must do without: they say what a job is, not how it runs.
const RUNTIME_CRATES: [&str; 4] = ["tokio", "object_store", "rocksdb", "rdkafka"];

/// The packages of this workspace that `member` may not know.
fn strangers(member: &str) -> Vec<&'static str> {
    let mut strangers = vec!["riverrun"];
    match member {
        "engine" | "xtask" => strangers.extend(SPOKES),
        // The door of the Kafka connector knows nobody: another client could stand behind it. Nor
        // does what asks the machine for memory, which only the engine knows.
        "connectors/kafka" | "engine/prefetch" => {
            strangers.extend(SPOKES.iter().chain(&["engine"]))
        }
        _ if SPOKES.contains(&member) => {
            strangers.extend(SPOKES.iter().filter(|spoke| **spoke != member).chain(&["prefetch"]));
        }
        _ => return Vec::new(),
    }
    if member == "xtask" {
        strangers.push("engine");
    }
    strangers
}

/// Dependencies, development ones included, that break the star.
pub(crate) fn manifests(file: &File) -> Vec<Finding> {
    if !file.path.ends_with("Cargo.toml") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, name) in dependencies(&file.text) {
        let member = file.member();
        let package = name.strip_prefix("riverrun-").unwrap_or(&name);
        if name.starts_with("riverrun") && strangers(member).contains(&package) {
            findings.push(file.finding(line, format!("`{member}` depends on `{name}`"), REMEDY));
        }
        let contract = matches!(member, "engine" | "operators");
        if contract && RUNTIME_CRATES.contains(&name.as_str()) {
            let remedy = "keep it behind a contract, in `runtime` or `connectors`";
            findings.push(file.finding(line, format!("`{member}` depends on `{name}`"), remedy));
        }
    }
    findings
}

/// Paths in the code that break the star.
pub(crate) fn paths(file: &File) -> Vec<Finding> {
    if !file.is_rust() || strangers(file.member()).is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for stranger in strangers(file.member()) {
        let name = if stranger == "riverrun" {
            stranger.to_owned()
        } else {
            format!("riverrun_{stranger}")
        };
        for at in file.masked.words(&name) {
            let after = file.masked.code[at + name.len()..].iter().collect::<String>();
            if after.trim_start().starts_with("::") {
                let what = format!("`{}` names `{name}`", file.member());
                findings.push(file.finding(file.masked.line_of(at), what, REMEDY));
            }
        }
    }
    findings
}

/// Dependencies from anywhere but the registry.
pub(crate) fn sources(file: &File) -> Vec<Finding> {
    let remedy = "depend on a released version from the registry";
    let numbered = file.text.lines().enumerate();
    let found = numbered.filter(|(_, line)| match file.path.as_str() {
        path if path.ends_with("Cargo.lock") => line.starts_with("source = \"git+"),
        path => path.ends_with("Cargo.toml") && has_key(line, "git"),
    });
    found.map(|(i, _)| file.finding(i + 1, "a git dependency".to_owned(), remedy)).collect()
}

/// Whether a line of a manifest sets `key`, alone or in an inline table.
fn has_key(line: &str, key: &str) -> bool {
    line.match_indices(key).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| is_word(c) || c == '-' || c == '"')
            && line[at + key.len()..].trim_start().starts_with('=')
    })
}

/// The dependencies a manifest names, with their lines. The workspace's table declares versions
/// and depends on nothing.
fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (i, line) in manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            let parts: Vec<&str> = section.rsplitn(2, "dependencies").collect();
            let workspace = section.starts_with("workspace");
            inside = !workspace && parts.len() == 2 && parts[0].is_empty();
            if let (false, 2, Some(name)) = (workspace, parts.len(), parts[0].strip_prefix('.')) {
                found.push((i + 1, name.trim_matches('"').to_owned()));
            }
        } else if let (true, Some((key, value))) = (inside, line.split_once('=')) {
            let key = key.trim().trim_end_matches(".workspace");
            let renamed = value.split_once("package").and_then(|(_, v)| v.split('"').nth(1));
            found.push((i + 1, renamed.unwrap_or(key).trim_matches('"').to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spoke_that_depends_on_a_spoke_is_found() {
        let manifest = "[dependencies]\nriverrun-engine = { workspace = true }\nserde = \"1\"\n\
            [dev-dependencies]\nriverrun-runtime.workspace = true\n\
            [target.'cfg(unix)'.dependencies.riverrun-connectors]\npath = \"../connectors\"\n\
            [build-dependencies]\nr = { package = \"riverrun\", path = \"..\" }\n";
        let found = manifests(&File::new("operators/Cargo.toml", manifest));
        let lines: Vec<&str> = found.iter().map(|f| f.at.as_str()).collect();
        let at = |line| format!("operators/Cargo.toml:{line}");
        assert_eq!(lines, [at(5), at(6), at(9)]);
        assert_eq!(manifests(&File::new("Cargo.toml", manifest)), []);
    }

    #[test]
    fn the_engine_does_without_a_runtime() {
        let found = manifests(&File::new("engine/Cargo.toml", "[dependencies]\ntokio = \"1\"\n"));
        assert_eq!(found[0].at, "engine/Cargo.toml:2");
    }

    #[test]
    fn a_path_into_another_spoke_is_found() {
        let text = "//! riverrun_runtime:: is far\nuse riverrun_engine::a;\n\
            fn f() { ::riverrun_runtime ::x(\"riverrun_connectors::\") }\n";
        let found = paths(&File::new("operators/src/a.rs", text));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at, "operators/src/a.rs:3");
        assert_eq!(paths(&File::new("tests/a.rs", text)), []);
        assert_eq!(paths(&File::new("engine/tests/a.rs", "use riverrun::x;")).len(), 1);
    }

    #[test]
    fn packages_within_a_folder_know_nobody() {
        let manifest = "[dependencies]\nriverrun-engine.workspace = true\n";
        for path in ["engine/prefetch/Cargo.toml", "connectors/kafka/Cargo.toml"] {
            assert_eq!(manifests(&File::new(path, manifest)).len(), 1, "{path}");
        }
        let text = "use riverrun_prefetch::prefetch;";
        assert_eq!(paths(&File::new("runtime/src/a.rs", text)).len(), 1);
        assert_eq!(paths(&File::new("engine/src/a.rs", text)), []);
    }

    #[test]
    fn git_dependencies_are_found() {
        let inline = File::new("engine/Cargo.toml", "[dependencies]\na = { git = \"x\" }\n");
        assert_eq!(sources(&inline)[0].at, "engine/Cargo.toml:2");
        assert_eq!(sources(&File::new("Cargo.lock", "source = \"git+x\"\n")).len(), 1);
        assert_eq!(sources(&File::new("Cargo.toml", "legit = \"1\"\n")), []);
    }
}
