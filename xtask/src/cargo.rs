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

/// Builds the example `name` for speed and without anything it does not use: with the `features` it
/// needs. Answers where its binary lies.
pub(crate) fn build_example(name: &str, features: &str) -> Result<PathBuf> {
    let words = [
        "build",
        "--release",
        "--no-default-features",
        "--features",
        features,
        "--example",
        name,
        "--message-format=json-render-diagnostics",
    ];
    let built = command(&words)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be started; is it on the PATH?")?;
    if !built.status.success() {
        bail!("example `{name}` does not build; cargo's words are above");
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    let mut binaries = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == name).then_some(())?;
        message["executable"].as_str().map(PathBuf::from)
    });
    binaries.next_back().ok_or_else(|| anyhow!("cargo built no binary for example `{name}`"))
}

/// The folder all builds go to, where the demo leaves its files too.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}
