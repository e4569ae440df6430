//! `check --online` and `txn` against a broker on which nothing is allowed but what is granted:
//! each missing right is named with the command that grants it, and the commands are carried out.

use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use riverrun::connectors::kafka::Kafka;
use riverrun::connectors::memory::MemoryOutput;
use riverrun::engine::graph::NodeKind;
use riverrun::engine::outside::{About, Finding, HeldBack, Outside, Verdict};
use riverrun::operators::Job;
use xtask::kafka::{Broker, asked_version, free_port};

use crate::rig::broker;

/// A broker with a second listener, which wants a login and asks for rights.
struct Guarded {
    broker: Broker,
    port: u16,
}

static GUARDED: LazyLock<Guarded> = LazyLock::new(|| {
    let port = free_port().expect("a port");
    let listeners = format!(
        "PLAINTEXT://127.0.0.1:{{broker}},CONTROLLER://127.0.0.1:{{controller}},\
         LOGIN://127.0.0.1:{port}"
    );
    let map = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT";
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 user_job=\"job-secret\";";
    let broker = broker(&[
        ("listeners", &listeners),
        ("listener.security.protocol.map", map),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("listener.name.login.plain.sasl.jaas.config", login),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("super.users", "User:ANONYMOUS"),
        ("transaction.max.timeout.ms", "120000"),
    ]);
    Guarded { broker, port }
});

impl Guarded {
    fn kafka(&self, secret: &str) -> Kafka {
        Kafka::brokers(&format!("127.0.0.1:{}", self.port))
            .property("security.protocol", "sasl_plaintext")
            .property("sasl.mechanism", "PLAIN")
            .property("sasl.username", "job")
            .property("sasl.password", secret)
    }

    /// Carries out a command of a finding, as an administrator.
    fn carry_out(&self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let (tool, words) = words.split_first().expect("a command");
        let class = match *tool {
            "kafka-acls.sh" if asked_version().starts_with("3.") => "kafka.admin.AclCommand",
            "kafka-acls.sh" => "org.apache.kafka.tools.AclCommand",
            "kafka-topics.sh" => "org.apache.kafka.tools.TopicCommand",
            tool => panic!("{tool}"),
        };
        let mut command: Command = self.broker.tool(class);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--bootstrap-server" => {
                    words.next().expect("an address");
                    command.args(["--bootstrap-server", &self.broker.address().to_string()]);
                }
                "User:NAME" => drop(command.arg("User:job")),
                word => drop(command.arg(word)),
            }
        }
        let done = command.output().expect("runs");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stdout));
    }
}

fn about(job: &str) -> About {
    About {
        job: job.into(),
        checkpoint_interval: Some(Duration::from_secs(1)),
        checkpoint_timeout: Duration::from_secs(60),
    }
}

fn outside(about: &About, pipeline: impl Fn(&Job)) -> Vec<Box<dyn Outside>> {
    let job = Job::new(serde_json::Value::Null);
    pipeline(&job);
    let graph = job.into_graph();
    let of = |kind: &NodeKind| match kind {
        NodeKind::Source(source) => source.outside(about),
        NodeKind::Sink(sink) => sink.outside(about),
        NodeKind::Operator(_) => None,
    };
    graph.nodes().filter_map(|(_, node)| of(&node.kind)).collect()
}

fn look(about: &About, pipeline: impl Fn(&Job)) -> Vec<Finding> {
    outside(about, pipeline).iter_mut().flat_map(|outside| outside.look()).collect()
}

fn bad(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.verdict == Verdict::Bad).collect()
}

#[test]
fn what_is_missing_is_named_until_nothing_is() {
    let guarded = &*GUARDED;
    guarded.broker.create_topic("clicks", 3, &[("retention.ms", "600000")]).expect("made");
    let kafka = guarded.kafka("job-secret");
    let pipeline = |job: &Job| {
        let clicks = job.source("clicks", kafka.read_text("clicks"));
        clicks.sink("counts", kafka.write_text("counts"));
    };
    let about = about("guarded");
    let mut rounds = 0;
    let last = loop {
        let findings = look(&about, pipeline);
        let bad = bad(&findings);
        if bad.is_empty() {
            break findings;
        }
        rounds += 1;
        assert!(rounds <= 6, "{bad:#?}");
        for finding in bad {
            assert!(finding.remedy.starts_with("kafka-"), "{finding:#?}");
            finding.remedy.lines().for_each(|command| guarded.carry_out(command));
        }
    };
    assert!(rounds >= 2, "each right was missing once: {rounds}");
    let less: Vec<&Finding> = last.iter().filter(|f| f.remedy.starts_with("kafka-")).collect();
    let whats: Vec<&str> = less.iter().map(|f| f.what.as_str()).collect();
    assert_eq!(whats.len(), 3, "the group, and the settings of both topics: {whats:#?}");
    less.iter().for_each(|finding| guarded.carry_out(&finding.remedy));
    let last = look(&about, pipeline);
    assert!(!last.iter().any(|f| f.remedy.starts_with("kafka-")), "{last:#?}");
    let doubtful =
        |text: &str| last.iter().any(|f| f.verdict == Verdict::Doubtful && f.what.contains(text));
    assert!(doubtful("keeps records for 10 min"), "{last:#?}");
    assert!(last.iter().any(|f| f.what.contains("'guarded-*'")), "{last:#?}");
}

#[test]
fn a_wrong_password_is_told_and_shown_nowhere() {
    let kafka = GUARDED.kafka("wrong-secret");
    let findings = look(&about("guarded"), |job| {
        let clicks = job.source("clicks", kafka.read_text("clicks"));
        clicks.sink("out", MemoryOutput::<String>::new().sink());
    });
    let text = format!("{findings:#?}");
    assert!(text.contains("RR0712"), "{text}");
    assert!(!text.contains("wrong-secret"), "{text}");
}

#[test]
fn a_timeout_that_the_broker_does_not_allow_or_that_ends_too_soon() {
    let guarded = &*GUARDED;
    let kafka = Kafka::brokers(&guarded.broker.address().to_string());
    guarded.broker.create_topic("timeouts", 1, &[]).expect("made");
    let with = |timeout: u64, interval: u64| {
        let about =
            About { checkpoint_interval: Some(Duration::from_secs(interval)), ..about("timeouts") };
        let findings = look(&about, |job| {
            let numbers = job.source("numbers", kafka.read_text("timeouts"));
            let sink = kafka.write_text("timeouts");
            numbers.sink("out", sink.transaction_timeout(Duration::from_secs(timeout)));
        });
        let text = |finding: &&Finding| format!("{} {}", finding.what, finding.remedy);
        bad(&findings).iter().map(text).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(with(100, 1), "");
    let refused = with(300, 1);
    assert!(refused.contains("transaction.max.timeout.ms"), "{refused}");
    let soon = with(100, 200);
    assert!(soon.contains("expires after 100 s"), "{soon}");
}

#[test]
fn what_is_left_open_is_listed_and_aborted() {
    let guarded = &*GUARDED;
    let address = guarded.broker.address().to_string();
    guarded.broker.create_topic("left", 1, &[]).expect("made");
    let mut config = rdkafka::config::ClientConfig::new();
    config.set("bootstrap.servers", &address).set("transactional.id", "left-open-1");
    let producer: rdkafka::producer::BaseProducer = config.create().expect("a producer");
    use rdkafka::producer::Producer as _;
    let limit = Duration::from_secs(20);
    producer.init_transactions(limit).expect("is initialised");
    producer.begin_transaction().expect("begins");
    let record = rdkafka::producer::BaseRecord::<[u8], [u8]>::to("left").payload(b"lost");
    producer.send(record).map_err(|(error, _)| error).expect("is queued");
    producer.flush(limit).expect("is there");

    let kafka = Kafka::brokers(&address);
    let mut sinks = outside(&about("left-open"), |job| {
        let clicks = job.source("clicks", kafka.read_text("left"));
        clicks.sink("out", kafka.write_text("left"));
    });
    let held = |sinks: &mut Vec<Box<dyn Outside>>| -> Vec<HeldBack> {
        sinks.iter_mut().flat_map(|sink| sink.held_back().expect("answers")).collect()
    };
    let open = HeldBack { place: "left/0".to_owned(), from: 0, count: 1 };
    assert_eq!(held(&mut sinks), [open]);
    let aborted: Vec<String> =
        sinks.iter_mut().flat_map(|sink| sink.abort().expect("aborts")).collect();
    assert_eq!(aborted, ["left-open-0", "left-open-1"]);
    assert_eq!(held(&mut sinks), []);
}
