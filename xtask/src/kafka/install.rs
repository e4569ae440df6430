//! One version of Kafka, ready to run: its jars, a Java, and the commands made of both.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::config;
use super::jars::{self, Logging, Version};
use super::java::{Java, LogConfig};

/// How much heap a tool gets, in MiB.
const TOOL_HEAP: u32 = 256;

/// What runs Kafka's programs. They log as the files that `prepare` writes say.
#[derive(Clone, Debug)]
pub(crate) struct Kafka {
    version: Version,
    java: Java,
    libs: PathBuf,
}

impl Kafka {
    /// The version `text`, fetched if need be.
    ///
    /// # Errors
    /// Java, Maven or the version is missing; the error says what to do.
    pub(crate) fn find(text: &str, say: &dyn Fn(&str)) -> Result<Self> {
        let version = Version::parse(text)?;
        let java = Java::find()?;
        let libs = jars::libs(&version, say)?;
        Ok(Kafka { version, java, libs })
    }

    /// Writes into a node's folder how its programs log.
    pub(crate) fn prepare(&self, folder: &Path) -> Result<()> {
        for (of, level, target) in [(SERVER, "INFO", "out"), (TOOLS, "WARN", "err")] {
            let path = folder.join(of);
            std::fs::write(&path, config::logging(self.version.logging(), level, target))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// The broker, with `heap` MiB, told what the file `properties` says.
    pub(crate) fn server(&self, folder: &Path, heap: u32, properties: &Path) -> Command {
        let log = LogConfig { option: self.log_option(&folder.join(SERVER)), brief: false };
        let mut command = self.java.command(&self.libs, heap, &log, "kafka.Kafka");
        command.arg(properties);
        command
    }

    /// One of Kafka's tools, by its class.
    pub(crate) fn tool(&self, folder: &Path, class: &str) -> Command {
        let log = LogConfig { option: self.log_option(&folder.join(TOOLS)), brief: true };
        self.java.command(&self.libs, TOOL_HEAP, &log, class)
    }

    /// The console producer's class: it has moved.
    pub(crate) fn console_producer(&self) -> &'static str {
        match self.version.logging() {
            Logging::Reload4j => "kafka.tools.ConsoleProducer",
            Logging::Log4j => "org.apache.kafka.tools.ConsoleProducer",
        }
    }

    fn log_option(&self, file: &Path) -> String {
        match self.version.logging() {
            Logging::Reload4j => format!("-Dlog4j.configuration=file:{}", file.display()),
            Logging::Log4j => format!("-Dlog4j2.configurationFile={}", file.display()),
        }
    }
}

/// The files that say how the broker and the tools log.
const SERVER: &str = "log-broker.properties";
const TOOLS: &str = "log-tools.properties";
