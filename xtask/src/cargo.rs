//! The one way to cargo: the cargo that started us, in the workspace's root.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = here.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    here.parent().map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// `cargo WORDS`, not yet started. Everything is built into one folder, other workspaces too.
pub(crate) fn command(words: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(words).current_dir(root()).env("CARGO_TARGET_DIR", target());
    command
}

/// Whether cargo knows the subcommand: `cargo NAME --version` answers.
pub(crate) fn knows(name: &str) -> bool {
    answers(&mut command(&[name]))
}

/// Whether a program is there: it answers to `--version`.
pub(crate) fn answers(program: &mut Command) -> bool {
    program.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    program.status().is_ok_and(|status| status.success())
}

/// Builds examples for speed and without anything they do not use: with the `features` they need.
/// Answers where their binaries lie, in the same order.
pub(crate) fn build_examples<const N: usize>(
    names: [&str; N],
    features: &str,
) -> Result<[PathBuf; N]> {
    let mut words = vec!["build", "--release", "--no-default-features", "--features", features];
    for name in names {
        words.extend(["--example", name]);
    }
    words.push("--message-format=json-render-diagnostics");
    let built = command(&words)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be started; is it on the PATH?")?;
    if !built.status.success() {
        bail!("examples {names:?} do not build; cargo's words are above");
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    let messages: Vec<serde_json::Value> =
        messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let binary = |name: &str| {
        let of = messages.iter().filter(|message| message["target"]["name"] == name);
        let mut binaries = of.filter_map(|message| message["executable"].as_str());
        let binary = binaries.next_back().map(PathBuf::from);
        binary.ok_or_else(|| anyhow!("cargo built no binary for example `{name}`"))
    };
    let mut found = Vec::with_capacity(N);
    for name in names {
        found.push(binary(name)?);
    }
    Ok(found.try_into().expect("one for each name"))
}

/// The folder all builds go to, where the demo leaves its files too.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}
