//! A broker that belongs to a test: its data lie in a folder of its own, and both are gone when the
//! test is, however it ends.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use super::DEFAULT_VERSION;
use super::consume::{self, Until};
use super::install::Kafka;
use super::node::Node;
use super::process;
use super::produce;
use super::record::ConsumedRecord;
use super::wire::{NewTopic, Topic, Wire};

/// How long a broker that is asked to stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What a broker shall be.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// The version of Kafka, `4.1.0` or `3.9.1`.
    pub version: String,
    /// Properties of the broker beside, or instead of, those it has here; `{broker}` and
    /// `{controller}` in their values are its ports.
    pub properties: Vec<(String, String)>,
    /// Heap of its JVM, in MiB.
    pub heap_mib: u32,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        BrokerOptions { version: DEFAULT_VERSION.to_owned(), properties: Vec::new(), heap_mib: 512 }
    }
}

/// A real Kafka broker on the loopback. It is killed and its data removed by drop, and also when
/// the process that holds it dies.
#[derive(Debug)]
pub struct Broker {
    node: Node,
    running: Option<Running>,
    /// Removed when all else is gone.
    _folder: TempDir,
}

impl Broker {
    /// Starts a broker in a folder for temporary files, on free ports, and waits until it serves.
    /// Some 5 s; the first use of a version fetches its jars, which takes minutes.
    ///
    /// # Errors
    /// Java or Maven is missing, with what to do about it; or the broker does not come up, with the
    /// end of its log.
    pub fn start(options: &BrokerOptions) -> Result<Self> {
        let kafka = Kafka::find(&options.version, &|what| eprintln!("{what}"))?;
        let folder = tempfile::Builder::new().prefix("riverrun-kafka-").tempdir();
        let folder = folder.context("cannot create a temporary folder")?;
        let node = Node::new(kafka, folder.path(), options.heap_mib, &options.properties)?;
        let mut broker = Broker { node, running: None, _folder: folder };
        broker.restart()?;
        Ok(broker)
    }

    /// `127.0.0.1:PORT`, the same for the broker's whole life.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.node.address().expect("`start` has given it its ports")
    }

    /// The broker's log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.node.log()
    }

    /// Kills the broker without warning (SIGKILL) and waits for its death. One that does not run
    /// stays as it is.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Asks the broker to stop (SIGTERM) and waits until it has. One that does not run stays as it
    /// is.
    ///
    /// # Errors
    /// It does not end within 30 s; then it is killed.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        process::signal(running.child.id(), Signal::TERM)?;
        running.watchdog.end();
        process::end_of(&mut running.child, STOP_LIMIT, "the broker").map(drop)
    }

    /// Starts the broker again with the same data on the same port, and waits until it leads all
    /// its partitions. One that still runs is stopped first.
    ///
    /// # Errors
    /// As of [`start`](Self::start); or somebody else has taken the port.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        let folder = self.node.folder().to_owned();
        let mut watchdog = None;
        let child = self.node.start(|child, _| {
            watchdog = Some(Watchdog::over(child, &folder)?);
            Ok(())
        })?;
        let watchdog = watchdog.context("a broker that nobody watches")?;
        self.running = Some(Running { child, watchdog });
        Ok(())
    }

    /// Stops the broker in its tracks (SIGSTOP): connections stay open and nobody answers. It has
    /// stopped when this returns.
    ///
    /// # Errors
    /// The broker does not run.
    pub fn stop_signal(&self) -> Result<()> {
        process::stopped(self.signal(Signal::STOP)?)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// The broker does not run.
    pub fn continue_signal(&self) -> Result<()> {
        self.signal(Signal::CONT).map(drop)
    }

    /// Makes a topic with these settings (`("cleanup.policy", "compact")`), and waits until each
    /// partition can be written. Milliseconds: as many as a test wants.
    ///
    /// # Errors
    /// It exists already, or a setting is wrong.
    pub fn create_topic(&self, name: &str, partitions: u32, config: &[(&str, &str)]) -> Result<()> {
        self.wire()?.create(&[NewTopic { name, partitions, config }])
    }

    /// Deletes a topic, and waits until the broker does not know it any more.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.wire()?.delete(name)
    }

    /// All topics, Kafka's own too, by name.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn topics(&self) -> Result<Vec<Topic>> {
        self.wire()?.topics()
    }

    /// Reads a topic from its beginning with Kafka's console consumer, as `read_committed` shows
    /// it: aborted records are left out, and those of open transactions too. In the order of
    /// arrival, which is that of the log within each partition. Some 2 s.
    ///
    /// # Errors
    /// There is no such topic; or it does not get that far within `limit`.
    pub fn consume_committed(
        &self,
        topic: &str,
        until: Until,
        limit: Duration,
    ) -> Result<Vec<ConsumedRecord>> {
        consume::committed(&self.node, topic, until, limit)
    }

    /// Writes records, each a key or none and a value or none, with Kafka's console producer, which
    /// is idempotent and uses no transaction. Some 2 s.
    ///
    /// # Errors
    /// There is no such topic; the broker refuses a record; or a text has a line break, which the
    /// tool cannot read.
    pub fn produce(&self, topic: &str, records: &[(Option<&str>, Option<&str>)]) -> Result<()> {
        produce::records(&self.node, topic, records)
    }

    /// One of Kafka's own Java tools by its class, such as `org.apache.kafka.tools.GetOffsetShell`,
    /// not started. It wants `--bootstrap-server` with the address.
    #[must_use]
    pub fn tool(&self, class: &str) -> Command {
        self.node.kafka().tool(self.node.folder(), class)
    }

    /// The first file of a partition's log, for `kafka.tools.DumpLogSegments`.
    #[must_use]
    pub fn log_of(&self, topic: &str, partition: i32) -> PathBuf {
        let partition = self.node.folder().join("data").join(format!("{topic}-{partition}"));
        partition.join(format!("{:020}.log", 0))
    }

    fn wire(&self) -> Result<Wire> {
        Wire::connect(self.address())
    }

    /// To which process.
    fn signal(&self, signal: Signal) -> Result<u32> {
        let Some(running) = &self.running else { bail!("the broker does not run") };
        let pid = running.child.id();
        process::signal(pid, signal).map(|()| pid)
    }
}

/// A broker's process. Drop kills it.
#[derive(Debug)]
struct Running {
    child: Child,
    watchdog: Watchdog,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The watchdog goes first: it knows the child only by its id, which is the child's own
        // until it has been waited for.
        self.watchdog.end();
        process::kill(&mut self.child);
    }
}

/// A shell that waits until the process that started it is gone, however it went: then its standard
/// input ends. It kills the broker then and removes the folder.
#[derive(Debug)]
struct Watchdog {
    shell: Child,
}

impl Watchdog {
    fn over(broker: &Child, folder: &Path) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", "read -r _; kill -9 \"$1\"; sleep 1; rm -rf \"$2\"", "watchdog"]);
        shell.arg(broker.id().to_string()).arg(folder);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(Watchdog { shell: shell.spawn().context("no shell to watch over the broker")? })
    }

    fn end(&mut self) {
        process::kill(&mut self.shell);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end();
    }
}
