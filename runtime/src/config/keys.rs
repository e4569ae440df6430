//! The engine's keys: one table that loading, errors and `config show` read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::bytes::Bytes;
use super::hint::nearest;
use super::value::{Raw, written};
use super::{CheckpointConfig, Config, LogConfig, LogFormat, RestartConfig, SpillConfig};

/// The shortest interval between checkpoints.
const INTERVAL_MIN: Duration = Duration::from_millis(20);

/// The least memory a process can be told to live with.
const MEMORY_MIN: Bytes = Bytes::mib(64);

/// The memory of a machine that does not say how much it has.
const MEMORY_UNKNOWN: Bytes = Bytes::mib(2048);

/// One key of the engine.
pub(super) struct Key {
    /// With its section: `checkpoint.interval`.
    pub(super) name: &'static str,
    /// Sets it; an error says what is allowed.
    pub(super) set: fn(&mut Config, &Raw) -> Result<(), String>,
    /// Its value as it is written.
    pub(super) get: fn(&Config) -> Value,
}

impl Key {
    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("RIVERRUN_{}", self.name.to_uppercase().replace('.', "__"))
    }
}

/// The key of this name.
pub(super) fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether keys of this section exist.
pub(super) fn is_section(name: &str) -> bool {
    let inside = |key: &Key| key.name.split_once('.').is_some_and(|(section, _)| section == name);
    name == "settings" || KEYS.iter().any(inside)
}

/// All keys.
pub(super) static KEYS: [Key; 16] = [
    Key {
        name: "parallelism",
        set: |config, raw| {
            let allowed = |_| "a whole number from 1 to the number of key groups".to_owned();
            config.parallelism = raw.count(0, u32::MAX.into()).map_err(allowed)?;
            Ok(())
        },
        get: |config| config.parallelism.into(),
    },
    Key {
        name: "workers",
        set: |config, raw| raw.count(1, 1024).map(|n| config.workers = n),
        get: |config| config.workers.into(),
    },
    Key {
        name: "key_groups",
        set: |config, raw| {
            let allowed = || "a power of two from 1 to 32768".to_owned();
            let groups = raw.count(1, 1 << 15).map_err(|_| allowed())?;
            let power = Some(groups).filter(|groups: &u16| groups.is_power_of_two());
            config.key_groups = power.ok_or_else(allowed)?;
            Ok(())
        },
        get: |config| config.key_groups.into(),
    },
    Key {
        name: "memory",
        set: |config, raw| raw.bytes(MEMORY_MIN).map(|bytes| config.memory = bytes),
        get: |config| config.memory.to_string().into(),
    },
    Key {
        name: "checkpoint.path",
        set: |config, raw| set_path(raw).map(|path| config.checkpoint.path = path),
        get: |config| config.checkpoint.path.as_str().into(),
    },
    Key {
        name: "checkpoint.interval",
        set: |config, raw| {
            let interval = raw.duration(true)?;
            if !interval.is_zero() && interval < INTERVAL_MIN {
                return Err("at least 20ms, or `off`".to_owned());
            }
            config.checkpoint.interval = interval;
            Ok(())
        },
        get: |config| match config.checkpoint.interval {
            Duration::ZERO => "off".into(),
            interval => written(interval).into(),
        },
    },
    Key {
        name: "checkpoint.timeout",
        set: |config, raw| {
            let timeout = raw.duration(false)?;
            if timeout < INTERVAL_MIN {
                return Err("at least 20ms".to_owned());
            }
            config.checkpoint.timeout = timeout;
            Ok(())
        },
        get: |config| written(config.checkpoint.timeout).into(),
    },
    Key {
        name: "checkpoint.min_pause",
        set: |config, raw| raw.duration(false).map(|pause| config.checkpoint.min_pause = pause),
        get: |config| written(config.checkpoint.min_pause).into(),
    },
    Key {
        name: "checkpoint.retain",
        set: |config, raw| raw.count(1, 10_000).map(|n| config.checkpoint.retain = n),
        get: |config| config.checkpoint.retain.into(),
    },
    Key {
        name: "checkpoint.lazy_from",
        set: |config, raw| {
            raw.bytes(Bytes::default()).map(|bytes| config.checkpoint.lazy_from = bytes)
        },
        get: |config| config.checkpoint.lazy_from.to_string().into(),
    },
    Key {
        name: "spill.dir",
        set: |config, raw| set_folder(raw).map(|folder| config.spill.dir = folder),
        get: |config| config.spill.dir.as_str().into(),
    },
    Key {
        name: "restart.attempts",
        set: |config, raw| raw.count(0, 1_000_000).map(|n| config.restart.attempts = n),
        get: |config| config.restart.attempts.into(),
    },
    Key {
        name: "restart.backoff",
        set: |config, raw| raw.duration(false).map(|pause| config.restart.backoff = pause),
        get: |config| written(config.restart.backoff).into(),
    },
    Key {
        name: "restart.backoff_max",
        set: |config, raw| raw.duration(false).map(|pause| config.restart.backoff_max = pause),
        get: |config| written(config.restart.backoff_max).into(),
    },
    Key {
        name: "log.format",
        set: |config, raw| {
            config.log.format = match raw.text() {
                Some("text") => LogFormat::Text,
                Some("json") => LogFormat::Json,
                _ => return Err("`text` or `json`".to_owned()),
            };
            Ok(())
        },
        get: |config| match config.log.format {
            LogFormat::Text => "text".into(),
            LogFormat::Json => "json".into(),
        },
    },
    Key {
        name: "log.level",
        set: |config, raw| set_level(raw).map(|level| config.log.level = level),
        get: |config| config.log.level.as_str().into(),
    },
];

fn set_path(raw: &Raw) -> Result<String, String> {
    let allowed = || "a folder, `memory://name` or `s3://bucket/path`".to_owned();
    let path = raw.text().filter(|path| !path.is_empty()).ok_or_else(allowed)?;
    match path.split_once("://") {
        Some(("memory" | "s3" | "file", name)) if !name.is_empty() => Ok(path.to_owned()),
        Some(_) => Err(allowed()),
        None => Ok(path.to_owned()),
    }
}

fn set_folder(raw: &Raw) -> Result<String, String> {
    let folder = raw.text().filter(|text| !text.is_empty() && !text.contains("://"));
    folder.map(str::to_owned).ok_or_else(|| "a folder on a local disk".to_owned())
}

/// Where spilled state goes unless someone says otherwise: beside the checkpoints where they are a
/// folder, so that it shares their disk; else to the system's folder for such things.
pub(super) fn spill_dir(checkpoints: &str, temp_dir: &Path) -> String {
    let folder = match checkpoints.contains("://") {
        true => temp_dir.to_owned(),
        false => Path::new(checkpoints).with_file_name("spill"),
    };
    folder.to_string_lossy().into_owned()
}

/// Three fifths of what the machine gives, in whole MiB: the rest is for code, the allocator's
/// slack, and the page cache of checkpoints and spilled state.
fn memory_of(machine: Option<Bytes>) -> Bytes {
    let machine = machine.unwrap_or(MEMORY_UNKNOWN);
    Bytes::mib((machine.0 >> 20) / 5 * 3).max(MEMORY_MIN)
}

/// A word is a level; everything else is `target=level`, so that a misspelt level is no target.
fn set_level(raw: &Raw) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let allowed = "a level (off, error, warn, info, debug, trace), or \
                   several `target=level` after one, as in `info,my_job=debug`";
    let level: String = raw.text().ok_or(allowed)?.split_whitespace().collect();
    for part in level.split(',') {
        let word = part.rsplit('=').next().unwrap_or_default().to_lowercase();
        if LEVELS.contains(&word.as_str()) {
            continue;
        }
        return Err(match nearest(&word, LEVELS) {
            Some(near) => format!("{allowed}; did you mean `{near}` for `{part}`?"),
            None => allowed.to_owned(),
        });
    }
    let parsed = tracing_subscriber::EnvFilter::try_new(&level);
    parsed.map(|_| level).map_err(|_| allowed.to_owned())
}

/// The configuration that nobody changed.
pub(super) fn defaults(job: &str, cores: u32, memory: Option<Bytes>, temp_dir: &Path) -> Config {
    let path = [".riverrun", job, "checkpoints"].iter().collect::<PathBuf>();
    let path = path.to_string_lossy().into_owned();
    Config {
        parallelism: cores.max(1),
        workers: cores.clamp(1, 1024),
        key_groups: 128,
        memory: memory_of(memory),
        spill: SpillConfig { dir: spill_dir(&path, temp_dir) },
        checkpoint: CheckpointConfig {
            path,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(600),
            min_pause: Duration::ZERO,
            retain: 2,
            lazy_from: Bytes::mib(64),
        },
        restart: RestartConfig {
            attempts: 10,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
        },
        log: LogConfig { format: LogFormat::Text, level: "info".to_owned() },
        settings: Value::Object(serde_json::Map::new()),
        scratch: None,
        pace: Duration::ZERO,
    }
}
