//! `cargo xtask kafka`: a broker that lives on until it is stopped, and what a developer does with
//! it by hand. Results go to standard output, progress to standard error.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Subcommand};

use super::config::Ports;
use super::install::Kafka;
use super::jars;
use super::node::Node;
use super::state::Started;
use super::wire::{NewTopic, Wire};
use super::{DEFAULT_VERSION, ports, produce, show};
use crate::say::{Progress, spoken};

/// How long another command on the same folder is waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(120);

/// Heap of a broker that is started by hand, in MiB.
const HEAP: u32 = 512;

/// What `cargo xtask kafka` can be told.
#[derive(Args)]
pub struct Options {
    /// The broker's folder, for its data, its log and its process id [default: target/kafka]
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start a broker, which lives on; print its address.
    Start(Start),
    /// Stop it. Its data stay for the next start.
    Stop,
    /// Whether it runs, and where.
    Status,
    /// Make, delete or list topics.
    Topic {
        #[command(subcommand)]
        action: TopicAction,
    },
    /// Write lines to a topic, with Kafka's console producer.
    Produce {
        topic: String,
        /// A file with the lines; standard input without it.
        file: Option<PathBuf>,
        /// What parts a line's key from its value; without it a line is a value.
        #[arg(long)]
        key_separator: Option<String>,
    },
    /// Print a topic's records, with Kafka's console consumer; without limits, until Ctrl-C.
    Consume(show::Shown),
}

#[derive(Args)]
struct Start {
    /// The version of Kafka; 3.9.1 runs too.
    #[arg(long, default_value = DEFAULT_VERSION)]
    version: String,
    /// The port for clients [default: that of the last start, or a free one]
    #[arg(long)]
    port: Option<u16>,
    /// A property of the broker, `key=value`; may be repeated.
    #[arg(long = "property", value_parser = pair)]
    properties: Vec<(String, String)>,
}

#[derive(Subcommand)]
enum TopicAction {
    /// Make a topic and wait until it can be written.
    Create {
        name: String,
        #[arg(long, default_value_t = 1)]
        partitions: u32,
        /// A setting of the topic, `key=value`; may be repeated.
        #[arg(long = "config", value_parser = pair)]
        config: Vec<(String, String)>,
    },
    /// Delete a topic and wait until it is gone.
    Delete { name: String },
    /// List the topics, each with the number of its partitions.
    Ls,
}

/// Runs the command; whether it succeeded. `target` is the folder of all builds.
///
/// # Errors
/// What is missing or wrong, with what to do next.
pub fn run(options: &Options, target: &Path) -> Result<bool> {
    let folder = options.dir.clone().unwrap_or_else(|| target.join("kafka"));
    match &options.action {
        Action::Start(start) => run_start(start, &folder),
        Action::Stop => stop(&folder),
        Action::Status => status(&folder),
        Action::Topic { action } => topic(action, &folder),
        Action::Produce { topic, file, key_separator } => {
            let input = match file {
                None => Stdio::inherit(),
                Some(path) => File::open(path)
                    .with_context(|| format!("cannot read {}", path.display()))?
                    .into(),
            };
            let (folder, kafka, address) = tools(&folder, topic)?;
            let tool = produce::tool(&kafka, &folder, &address, topic);
            produce::pass_through(tool, key_separator.as_deref(), input)
        }
        Action::Consume(shown) => {
            let (folder, kafka, address) = tools(&folder, shown.topic())?;
            show::pass_through(&kafka, &folder, &address, shown)
        }
    }
}

fn run_start(start: &Start, folder: &Path) -> Result<bool> {
    let progress = Progress::start();
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let folder = &std::fs::canonicalize(folder).context("the folder is gone")?;
    let _lock = jars::lock(&folder.join("lock"), LOCK_LIMIT)?;
    let last = Started::read(folder)?;
    if let Some(started) = last.as_ref().filter(|started| started.runs(folder)) {
        progress.say("a broker runs there already");
        print(started, folder);
        return Ok(true);
    }
    let kafka = Kafka::find(&start.version, &|what| progress.say(what))?;
    progress.say(&format!("starting Kafka {}", start.version));
    let mut node = Node::new(kafka, folder, HEAP, &start.properties)?;
    if let Some(ports) = choose(start.port, last.map(|last| last.ports))? {
        node = node.with_ports(ports);
    }
    let about = |pid, ports| Started { pid, version: start.version.clone(), ports };
    let born = node.start(|child, ports| about(child.id(), ports).write(folder))?;
    let ports = node.ports().context("a broker without ports")?;
    progress.say(&format!("ready after {}", spoken(progress.elapsed())));
    print(&about(born.id(), ports), folder);
    Ok(true)
}

/// The ports to start with: the one that is asked for, or those of the last time if they are free.
fn choose(asked: Option<u16>, last: Option<Ports>) -> Result<Option<Ports>> {
    match asked {
        Some(port) => {
            ensure!(ports::is_free(port), "port {port} is taken by another program");
            Ok(Some(Ports { broker: port, controller: ports::free_pair()?[0] }))
        }
        None => Ok(last.filter(|l| ports::is_free(l.broker) && ports::is_free(l.controller))),
    }
}

fn stop(folder: &Path) -> Result<bool> {
    let progress = Progress::start();
    let Ok(folder) = &std::fs::canonicalize(folder) else {
        progress.say(&format!("no broker was ever started in {}", folder.display()));
        return Ok(true);
    };
    let _lock = jars::lock(&folder.join("lock"), LOCK_LIMIT)?;
    match Started::read(folder)?.filter(|started| started.runs(folder)) {
        None => progress.say(&format!("no broker runs in {}", folder.display())),
        Some(started) => {
            progress.say(&format!("stopping the broker (process {})", started.pid));
            started.stop(folder)?;
            progress.say(&format!("it has ended; its data stay in {}", folder.display()));
        }
    }
    Ok(true)
}

fn status(folder: &Path) -> Result<bool> {
    match running(folder) {
        Ok((folder, started)) => {
            let address = (std::net::Ipv4Addr::LOCALHOST, started.ports.broker).into();
            let ready = Wire::connect(address).and_then(|mut wire| wire.is_ready());
            print(&started, &folder);
            println!("ready    {}", if ready.unwrap_or(false) { "yes" } else { "no" });
            Ok(true)
        }
        Err(error) => {
            println!("{error:#}");
            Ok(false)
        }
    }
}

fn topic(action: &TopicAction, folder: &Path) -> Result<bool> {
    let (_, started) = running(folder)?;
    let mut wire = Wire::connect((std::net::Ipv4Addr::LOCALHOST, started.ports.broker).into())?;
    match action {
        TopicAction::Create { name, partitions, config } => {
            let config: Vec<(&str, &str)> =
                config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            wire.create(&[NewTopic { name, partitions: *partitions, config: &config }])?;
        }
        TopicAction::Delete { name } => wire.delete(name)?,
        TopicAction::Ls => {
            for topic in wire.topics()? {
                println!("{:>6}  {}", topic.partitions, topic.name);
            }
        }
    }
    Ok(true)
}

/// The folder's broker, and the tools of its version, for a topic that exists.
fn tools(folder: &Path, topic: &str) -> Result<(PathBuf, Kafka, String)> {
    let (folder, started) = running(folder)?;
    let address = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, started.ports.broker));
    let known = Wire::connect(address)?.topic(topic)?;
    ensure!(
        known.is_some(),
        "there is no topic `{topic}`; make it: `cargo xtask kafka topic create {topic}`"
    );
    let kafka = Kafka::find(&started.version, &|what| eprintln!("{what}"))?;
    Ok((folder, kafka, address.to_string()))
}

/// The broker that runs in the folder, with the folder's full path.
fn running(folder: &Path) -> Result<(PathBuf, Started)> {
    if let Ok(folder) = std::fs::canonicalize(folder)
        && let Some(started) = Started::read(&folder)?
        && started.runs(&folder)
    {
        return Ok((folder, started));
    }
    bail!("no broker runs in {}; start one: `cargo xtask kafka start`", folder.display())
}

/// Prints what a developer needs to use the broker.
fn print(started: &Started, folder: &Path) {
    println!("address  127.0.0.1:{}", started.ports.broker);
    println!("version  {}", started.version);
    println!("process  {}", started.pid);
    println!("data     {}", folder.join("data").display());
    println!("log      {}", folder.join("broker.log").display());
}

/// Reads `key=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("say it as key=value".to_owned()),
    }
}
