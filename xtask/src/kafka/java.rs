//! The way to Java: where it is, whether it is new enough, and what to do when it is not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// Kafka 4 asks for it, and 3.9 runs on it.
const OLDEST: u32 = 17;

/// What to do where there is no such Java.
pub const REMEDY: &str = "Kafka needs Java 17 or later: `apt-get install default-jre-headless` on \
    Debian or Ubuntu (`openjdk-17-jre-headless` where that is older); elsewhere any JDK or JRE. \
    It is looked for in the folder that JAVA_HOME names, if it names one, else on the PATH";

/// A Java that is new enough.
#[derive(Clone, Debug)]
pub(crate) struct Java {
    program: PathBuf,
}

impl Java {
    /// The Java of `JAVA_HOME`, or else the one on the path.
    ///
    /// # Errors
    /// It is missing or too old; the error says how to get one.
    pub(crate) fn find() -> Result<Self> {
        let program = match std::env::var_os("JAVA_HOME") {
            Some(home) if !home.is_empty() => PathBuf::from(home).join("bin").join("java"),
            _ => PathBuf::from("java"),
        };
        let said = Command::new(&program).arg("-version").stdin(Stdio::null()).output();
        let Some(said) = said.ok().filter(|said| said.status.success()) else {
            bail!("no Java answers as `{}`. {REMEDY}", program.display());
        };
        let said = String::from_utf8_lossy(&said.stderr);
        match major(&said) {
            Some(version) if version >= OLDEST => Ok(Java { program }),
            Some(version) => bail!("`{}` is Java {version}. {REMEDY}", program.display()),
            None => bail!("`{}` does not say its version. {REMEDY}", program.display()),
        }
    }

    /// `java .. CLASS` with the jars of the folder `jars`, at most `heap` MiB of heap, not started.
    pub(crate) fn command(&self, jars: &Path, heap: u32, log: &LogConfig, class: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(format!("-Xmx{heap}m")).arg("-XX:+UseSerialGC");
        if log.brief {
            // A tool that runs for a second is done before the better compiler has paid.
            command.arg("-XX:TieredStopAtLevel=1");
        }
        command.args(["-Djava.awt.headless=true", "-Dfile.encoding=UTF-8"]).arg(&log.option);
        command.arg("-cp").arg(jars.join("*")).arg(class).stdin(Stdio::null());
        command
    }
}

/// How a JVM logs.
#[derive(Clone, Debug)]
pub(crate) struct LogConfig {
    /// The property that names the file.
    pub(crate) option: String,
    /// Whether it is a tool that runs for a moment.
    pub(crate) brief: bool,
}

/// The major version in what `java -version` says: 17 in `openjdk version "17.0.15"`.
fn major(said: &str) -> Option<u32> {
    let version = said.split("version \"").nth(1)?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        major => Some(major),
    }
}

#[test]
fn versions_are_read() {
    assert_eq!(major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime"), Some(17));
    assert_eq!(major("openjdk version \"24-ea\" 2025-03-18"), Some(24));
    assert_eq!(major("java version \"1.8.0_402\""), Some(8));
    assert_eq!(major("no java at all"), None);
}
