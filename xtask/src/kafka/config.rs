//! What a node is told: the properties of a broker that is its own controller, on the loopback,
//! with one replica of everything; and how its JVM and the tools' log.

use std::path::Path;

use super::jars::Logging;

/// The ports of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// Clients connect here.
    pub(crate) broker: u16,
    /// The controller's own.
    pub(crate) controller: u16,
}

/// `server.properties` of a node that keeps its data in `data`. `more` is added, and wins;
/// `{broker}` and `{controller}` in it are the node's ports.
pub(crate) fn properties(ports: Ports, data: &Path, more: &[(String, String)]) -> String {
    let Ports { broker, controller } = ports;
    let mut pairs: Vec<(String, String)> = vec![
        ("process.roles".into(), "broker,controller".into()),
        ("node.id".into(), "1".into()),
        ("controller.quorum.voters".into(), format!("1@127.0.0.1:{controller}")),
        (
            "listeners".into(),
            format!("PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}"),
        ),
        ("log.dirs".into(), data.display().to_string()),
    ];
    let fixed = FIXED.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    pairs.extend(fixed);
    for (key, value) in more {
        pairs.retain(|(known, _)| known != key);
        let value = value.replace("{broker}", &broker.to_string());
        pairs.push((key.clone(), value.replace("{controller}", &controller.to_string())));
    }
    pairs.iter().map(|(key, value)| format!("{key}={}\n", escaped(value))).collect()
}

/// What is the same for every node.
const FIXED: [(&str, &str); 21] = [
    ("controller.listener.names", "CONTROLLER"),
    ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    // Records carry their event time; the default would throw away what happened a week ago.
    ("log.retention.ms", "-1"),
    // Transactions that have expired are aborted at once, not in ten seconds' time.
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500"),
    // A node that was killed comes back when its own session has ended. Heartbeats come well
    // within that.
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
    // The default alone is a quarter of the heap.
    ("log.cleaner.dedupe.buffer.size", "16777216"),
    ("log.cleaner.threads", "1"),
];

/// A value as a properties file has it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n")
}

/// The text of a logging configuration: from `level` on, to standard output or error. It logs until
/// the JVM is gone: the console producer sends its last records while the JVM ends.
pub(crate) fn logging(library: Logging, level: &str, target: &str) -> String {
    match library {
        Logging::Reload4j => format!(
            "log4j.rootLogger={level}, out\n\
             log4j.appender.out=org.apache.log4j.ConsoleAppender\n\
             log4j.appender.out.target=System.{target}\n\
             log4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
             log4j.appender.out.layout.ConversionPattern=[%d{{ISO8601}}] %p %m (%c)%n\n"
        ),
        Logging::Log4j => {
            let stream = target.to_uppercase();
            format!(
                "status=error\nshutdownHook=disable\nappender.out.type=Console\n\
                 appender.out.name=out\nappender.out.target=SYSTEM_{stream}\n\
                 appender.out.layout.type=PatternLayout\n\
                 appender.out.layout.pattern=[%d{{ISO8601}}] %p %m (%c)%n\n\
                 rootLogger.level={level}\nrootLogger.appenderRef.out.ref=out\n"
            )
        }
    }
}

/// Whether a line of such a log reports an error.
pub(crate) fn is_error(line: &str) -> bool {
    line.starts_with('[') && line.split("] ").nth(1).is_some_and(|rest| rest.starts_with("ERROR "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_that_is_named_wins() {
        let ports = Ports { broker: 10_001, controller: 10_002 };
        let more = [("broker.session.timeout.ms".to_owned(), "9000".to_owned())];
        let text = properties(ports, Path::new("data\\here"), &more);
        let about = |key: &str| {
            text.lines().filter(|line| line.split('=').next() == Some(key)).collect::<Vec<_>>()
        };
        assert_eq!(about("broker.session.timeout.ms"), ["broker.session.timeout.ms=9000"]);
        assert_eq!(about("log.dirs"), ["log.dirs=data\\\\here"]);
        assert_eq!(
            about("controller.quorum.voters"),
            ["controller.quorum.voters=1@127.0.0.1:10002"]
        );
        assert!(!text.contains("0.0.0.0") && text.contains("PLAINTEXT://127.0.0.1:10001"));
    }

    #[test]
    fn errors_of_a_log_are_told() {
        assert!(is_error("[2026-01-01 10:00:00,000] ERROR Error when sending (x)"));
        assert!(!is_error("[2026-01-01 10:00:00,000] WARN an ERROR was near (x)"));
        assert!(!is_error("ERROR "));
    }
}
