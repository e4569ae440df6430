//! A node: a folder, its ports, and the JVM that runs there. Whoever owns the process, a test or
//! nobody, starts it in the same way.
//!
//! 1. Ports are chosen and `server.properties` is written.
//! 2. A folder without data is formatted, by Kafka's own tool.
//! 3. The JVM is started, in a process group of its own: Ctrl-C in a terminal is not for it.
//! 4. It is ready when it answers and leads every partition it has.
//! 5. When it ends before, because somebody took one of its ports meanwhile, all begins anew with
//!    other ports, unless they were given.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use super::config::{self, Ports};
use super::install::Kafka;
use super::jars;
use super::ports;
use super::process::{self, Deadline};
use super::wire::Wire;

/// How long the data folder's formatting may take, and the broker until it is ready.
const FORMAT_LIMIT: Duration = Duration::from_secs(60);
const READY_LIMIT: Duration = Duration::from_secs(90);

/// How often a start begins anew with other ports.
const STARTS: u32 = 4;

/// A log that has grown to this many bytes is put aside at the next start; one such is kept.
const LONG_LOG: u64 = 16 << 20;

/// A node that does or does not run.
#[derive(Debug)]
pub(crate) struct Node {
    kafka: Kafka,
    folder: PathBuf,
    ports: Option<Ports>,
    properties: Vec<(String, String)>,
    /// In MiB.
    heap: u32,
}

impl Node {
    /// A node that keeps everything in `folder`, which is made if need be.
    pub(crate) fn new(
        kafka: Kafka,
        folder: &Path,
        heap: u32,
        properties: &[(String, String)],
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let folder = std::fs::canonicalize(folder)
            .with_context(|| format!("cannot find {}", folder.display()))?;
        kafka.prepare(&folder)?;
        Ok(Node { kafka, folder, ports: None, properties: properties.to_vec(), heap })
    }

    /// The same node, to be started with these ports and no others.
    pub(crate) fn with_ports(self, ports: Ports) -> Self {
        Node { ports: Some(ports), ..self }
    }

    pub(crate) fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The ports; none before the first start.
    pub(crate) fn ports(&self) -> Option<Ports> {
        self.ports
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        let ports = self.ports.context("the broker was never started")?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, ports.broker)))
    }

    /// Starts the node and waits until it is ready. `born` is told of each process with its ports,
    /// before it is waited for; a process that does not become ready is killed.
    pub(crate) fn start(
        &mut self,
        mut born: impl FnMut(&Child, Ports) -> Result<()>,
    ) -> Result<Child> {
        let given = self.ports;
        for attempt in 1..=STARTS {
            let ports = match given {
                Some(ports) => ports,
                None => {
                    let [broker, controller] = ports::free_pair()?;
                    Ports { broker, controller }
                }
            };
            self.ports = Some(ports);
            self.put_long_log_aside()?;
            let from = std::fs::metadata(self.log()).map_or(0, |about| about.len());
            let mut child = self.spawn(ports)?;
            let ready = born(&child, ports).and_then(|()| self.await_ready(&mut child));
            let Err(error) = ready else { return Ok(child) };
            process::kill(&mut child);
            let tail = process::tail(&self.log(), from);
            let taken = tail.contains("Address already in use") || tail.contains("BindException");
            if given.is_none() && taken && attempt < STARTS {
                continue;
            }
            self.ports = given;
            return Err(anyhow!("{error:#}. Kafka's log ends with:\n{tail}"));
        }
        bail!("every port that was free was taken a moment later, {STARTS} times");
    }

    /// The broker's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    /// What it is told. The path in a process's arguments tells whose broker it is.
    pub(crate) fn properties(&self) -> PathBuf {
        properties_of(&self.folder)
    }

    fn spawn(&self, ports: Ports) -> Result<Child> {
        let data = self.folder.join("data");
        let text = config::properties(ports, &data, &self.properties);
        let properties = self.properties();
        std::fs::write(&properties, text)
            .with_context(|| format!("cannot write {}", properties.display()))?;
        // Data that were not formatted to the end have never been used.
        let formatted = self.folder.join("formatted");
        if !formatted.is_file() {
            jars::remove(&data)?;
            self.format(&properties)?;
            std::fs::write(&formatted, "").context("cannot note that the data are formatted")?;
        }
        let log = self.open_log()?;
        let errors = log.try_clone().context("cannot open the broker's log twice")?;
        let mut command = self.kafka.server(&self.folder, self.heap, &properties);
        command.current_dir(&self.folder).stdout(log).stderr(errors).process_group(0);
        command.spawn().context("Java cannot be started")
    }

    fn format(&self, properties: &Path) -> Result<()> {
        let log = self.open_log()?;
        let errors = log.try_clone().context("cannot open the broker's log twice")?;
        let mut tool = self.kafka.tool(&self.folder, "kafka.tools.StorageTool");
        tool.args(["format", "--cluster-id", CLUSTER, "--config"]).arg(properties);
        tool.current_dir(&self.folder).stdin(Stdio::null()).stdout(log).stderr(errors);
        let mut tool = tool.spawn().context("Java cannot be started")?;
        let ended = process::end_of(&mut tool, FORMAT_LIMIT, "Kafka's storage tool")?;
        let tail =
            || format!("the data folder is not formatted:\n{}", process::tail(&self.log(), 0));
        ensure!(ended.success(), tail());
        Ok(())
    }

    fn await_ready(&self, child: &mut Child) -> Result<()> {
        let deadline = Deadline::after(READY_LIMIT);
        let address = self.address()?;
        loop {
            let ready = Wire::connect(address).and_then(|mut wire| wire.is_ready());
            // Whoever answers, it is this process only while it lives.
            if let Some(status) = child.try_wait().context("the broker is lost")? {
                return Err(anyhow!("the broker ended ({status}) before it was ready"));
            }
            if ready.unwrap_or(false) {
                return Ok(());
            }
            deadline.wait(&format!("the broker on {address} to be ready"))?;
        }
    }

    fn open_log(&self) -> Result<File> {
        let path = self.log();
        let log = File::options().create(true).append(true).open(&path);
        log.with_context(|| format!("cannot open {}", path.display()))
    }

    fn put_long_log_aside(&self) -> Result<()> {
        let log = self.log();
        if std::fs::metadata(&log).is_ok_and(|about| about.len() > LONG_LOG) {
            std::fs::rename(&log, self.folder.join("broker.log.1"))
                .with_context(|| format!("cannot put {} aside", log.display()))?;
        }
        Ok(())
    }
}

/// Every node is a cluster of its own and nobody compares their ids, but one is asked for: 16 bytes
/// in base 64.
const CLUSTER: &str = "cml2ZXJydW4tdGVzdHMuLg";

/// The properties of the node in `folder`.
pub(crate) fn properties_of(folder: &Path) -> PathBuf {
    folder.join("server.properties")
}
