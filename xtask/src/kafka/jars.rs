//! Kafka's jars, as Maven resolves them, in the user's cache:
//! `~/.cache/riverrun/kafka/VERSION/libs`.
//!
//! 1. One process at a time holds the lock; the others wait for it and find the jars there.
//! 2. Maven copies into a folder beside, together with the project file it was given.
//! 3. The folder is renamed: what carries a version's name is whole.
//!
//! A folder whose project file is not the one of today is fetched anew. Which registry is asked is
//! Maven's business and the user's settings'.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::process::{self, Deadline};

/// How long Maven may take; another's Maven is waited for a little longer.
const FETCH_LIMIT: Duration = Duration::from_secs(900);
const LOCK_LIMIT: Duration = Duration::from_secs(960);

/// The goal, with its version: without one, Maven takes the newest of the day.
const GOAL: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// What to do where Maven is missing.
pub const REMEDY: &str = "Maven fetches Kafka's jars, once for each version: \
    `apt-get install maven` on Debian or Ubuntu; elsewhere Apache Maven 3, with `mvn` on the PATH";

/// Whose log library the version uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logging {
    /// Up to 3.x.
    Reload4j,
    /// From 4.0.
    Log4j,
}

/// A version of Kafka, in figures: `4.1.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version(String);

impl Version {
    /// Reads `MAJOR.MINOR.PATCH`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let figures: Vec<&str> = text.split('.').collect();
        let figure = |part: &&str| part.len() <= 3 && part.parse::<u16>().is_ok();
        let known = matches!(figures[0], "3" | "4");
        ensure!(
            known && figures.len() == 3 && figures.iter().all(figure),
            "`{text}` is no version of Kafka that runs here: say 4.1.0 or 3.9.1"
        );
        Ok(Version(text.to_owned()))
    }

    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn logging(&self) -> Logging {
        if self.0.starts_with("3.") { Logging::Reload4j } else { Logging::Log4j }
    }
}

/// The folder with the jars of `version`, fetched now if they are not there; `say` is told then.
///
/// # Errors
/// Maven is missing or fails; or the cache cannot be written.
pub(crate) fn libs(version: &Version, say: &dyn Fn(&str)) -> Result<PathBuf> {
    let cache = cache()?;
    let whole = cache.join(version.as_str());
    if is_whole(&whole, version) {
        return Ok(whole.join("libs"));
    }
    std::fs::create_dir_all(&cache)
        .with_context(|| format!("cannot create {}", cache.display()))?;
    let _lock = lock(&cache.join("lock"), LOCK_LIMIT)?;
    if !is_whole(&whole, version) {
        say(&format!(
            "fetching the jars of Kafka {} with Maven, once: some 50 MB to {}",
            version.as_str(),
            whole.display()
        ));
        fetch(&whole, version)?;
    }
    Ok(whole.join("libs"))
}

/// Whether the jars of `version` are there.
pub(super) fn are_there(version: &Version) -> Result<bool> {
    Ok(is_whole(&cache()?.join(version.as_str()), version))
}

/// Waits for the lock on the file `path`, which is made if need be. It is given back by drop, or
/// when the process ends.
pub(crate) fn lock(path: &Path, limit: Duration) -> Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let deadline = Deadline::after(limit);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                deadline.wait(&format!("another process to give back {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

/// Whether the folder holds all jars that today's project file asks for.
fn is_whole(folder: &Path, version: &Version) -> bool {
    std::fs::read_to_string(folder.join("pom.xml")).is_ok_and(|text| text == pom(version))
}

/// Has Maven copy the jars of `version`, and gives them the name `whole` when all are there.
fn fetch(whole: &Path, version: &Version) -> Result<()> {
    let part = whole.with_file_name(format!("{}.part", version.as_str()));
    remove(&part)?;
    let libs = part.join("libs");
    std::fs::create_dir_all(&libs).with_context(|| format!("cannot create {}", libs.display()))?;
    std::fs::write(part.join("pom.xml"), pom(version))
        .with_context(|| format!("cannot write into {}", part.display()))?;
    let log = part.join("maven.log");
    let output = File::create(&log).context("cannot create Maven's log")?;
    let errors = output.try_clone().context("cannot open Maven's log twice")?;
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", GOAL, "-DincludeScope=runtime", "--file"]);
    maven.arg(part.join("pom.xml")).arg(format!("-DoutputDirectory={}", libs.display()));
    maven.stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut maven = match maven.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("`mvn` is missing. {REMEDY}")
        }
        spawned => spawned.context("Maven cannot be started")?,
    };
    let ended = process::end_of(&mut maven, FETCH_LIMIT, "Maven");
    let tail = || format!("Maven did not get Kafka's jars; it said:\n{}", process::tail(&log, 0));
    ensure!(ended.with_context(tail)?.success(), tail());
    let server = libs.join(format!("kafka_2.13-{}.jar", version.as_str()));
    ensure!(server.is_file(), "Maven ended well, but {} is not there", server.display());
    remove(whole)?;
    std::fs::rename(&part, whole).with_context(|| format!("cannot create {}", whole.display()))
}

/// Removes a folder that may not be there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Where this user's programs keep what can be had again.
fn cache() -> Result<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    let base = base.context("neither HOME nor XDG_CACHE_HOME is set: where may jars be kept?")?;
    Ok(base.join("riverrun").join("kafka"))
}

/// The project whose dependencies are Kafka's broker and tools, and something to log with. The
/// tools would bring Kafka Connect, which nobody here runs.
fn pom(version: &Version) -> String {
    let kafka = version.as_str();
    let logging = match version.logging() {
        Logging::Reload4j => dependency("org.slf4j", "slf4j-reload4j", "1.7.36", ""),
        Logging::Log4j => dependency("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3", ""),
    };
    let connect = "<exclusions><exclusion><groupId>org.apache.kafka</groupId>\
        <artifactId>connect-runtime</artifactId></exclusion></exclusions>";
    let server = dependency("org.apache.kafka", "kafka_2.13", kafka, "");
    let tools = dependency("org.apache.kafka", "kafka-tools", kafka, connect);
    format!(
        "<project>\n<modelVersion>4.0.0</modelVersion>\n<groupId>riverrun</groupId>\n\
         <artifactId>kafka-for-tests</artifactId>\n<version>1</version>\n\
         <packaging>pom</packaging>\n<dependencies>\n{server}{tools}{logging}</dependencies>\n\
         </project>\n"
    )
}

fn dependency(group: &str, artifact: &str, version: &str, more: &str) -> String {
    format!(
        "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
         <version>{version}</version>{more}</dependency>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_file_asks_for_broker_tools_and_the_versions_own_logging() {
        let new = pom(&Version::parse("4.1.0").unwrap());
        let old = pom(&Version::parse("3.9.1").unwrap());
        for (text, version) in [(&new, "4.1.0"), (&old, "3.9.1")] {
            for artifact in ["kafka_2.13", "kafka-tools"] {
                let wanted =
                    format!("<artifactId>{artifact}</artifactId><version>{version}</version>");
                assert!(text.contains(&wanted), "{text}");
            }
            let opened = text.matches("<dependency>").count();
            assert_eq!((opened, text.matches("</dependency>").count()), (3, 3));
        }
        assert!(new.contains("log4j-slf4j-impl") && !new.contains("reload4j"));
        assert!(old.contains("slf4j-reload4j") && !old.contains("log4j-slf4j-impl"));
    }

    #[test]
    fn a_version_is_figures_and_nothing_else() {
        for good in ["4.1.0", "3.9.1", "4.10.12"] {
            assert_eq!(Version::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "4", "4.1", "../4.1.0", "4.1.0<x/>", "2.8.0", "4..0", "4.1.0.1"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn jars_of_another_project_file_are_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        let version = Version::parse("4.1.0").unwrap();
        assert!(!is_whole(folder.path(), &version));
        std::fs::write(folder.path().join("pom.xml"), pom(&version)).unwrap();
        assert!(is_whole(folder.path(), &version));
        assert!(!is_whole(folder.path(), &Version::parse("3.9.1").unwrap()));
    }

    #[test]
    fn a_lock_that_is_held_is_waited_for_no_longer_than_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path, Duration::ZERO).unwrap();
        let late = lock(&path, Duration::from_millis(60)).unwrap_err();
        assert!(late.to_string().contains("give back"), "{late}");
        drop(held);
        lock(&path, Duration::ZERO).unwrap();
    }
}
