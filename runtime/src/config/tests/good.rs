//! Precedence, origins, types, and what `config show` prints.

use std::time::Duration;

use serde_json::json;

use super::super::{ConfigSources, Flags, LogFormat, Origin};
use super::{Bytes, Config, FileText, load};

#[test]
fn the_defaults() {
    let loaded = load("", &[], &[]).expect("loads");
    let config = &loaded.config;
    assert_eq!((config.parallelism, config.workers, config.key_groups), (4, 4, 128));
    assert_eq!(config.checkpoint.path, ".riverrun/fraud/checkpoints");
    assert_eq!(config.checkpoint.interval, Duration::from_secs(1));
    assert_eq!(config.checkpoint.timeout, Duration::from_secs(600));
    assert_eq!((config.checkpoint.min_pause, config.checkpoint.retain), (Duration::ZERO, 2));
    assert_eq!((config.memory, config.memory.to_string()), (Bytes::mib(6144), "6GiB".to_owned()));
    assert_eq!(config.spill.dir, ".riverrun/fraud/spill");
    assert_eq!(config.restart.attempts, 10);
    assert_eq!((config.log.format, config.log.level.as_str()), (LogFormat::Text, "info"));
    assert_eq!(config.settings, json!({}));
    assert_eq!(loaded.origin("parallelism"), Origin::Default);
}

#[test]
fn each_layer_stands_over_the_one_before() {
    let file = "parallelism = 2\n[checkpoint]\ninterval = '2s'\nretain = 7\n";
    let loaded = load(file, &[], &[]).expect("loads");
    let line = |line| Origin::File { name: "job.toml".to_owned(), line };
    assert_eq!((loaded.config.parallelism, loaded.origin("parallelism")), (2, line(1)));
    assert_eq!(loaded.origin("checkpoint.interval"), line(3));

    let environment = ["RIVERRUN_CHECKPOINT__INTERVAL=100ms", "RIVERRUN_PARALLELISM=3"];
    let loaded = load(file, &environment, &[]).expect("loads");
    assert_eq!(loaded.config.checkpoint.interval, Duration::from_millis(100));
    let variable = Origin::Environment("RIVERRUN_PARALLELISM".to_owned());
    assert_eq!((loaded.config.parallelism, loaded.origin("parallelism")), (3, variable));

    let flags = ["--conf checkpoint.interval=off", "--conf parallelism=9", "--parallelism 5"];
    let loaded = load(file, &environment, &flags).expect("loads");
    assert_eq!(loaded.config.checkpoint.interval, Duration::ZERO);
    let flag = Origin::Flag("--parallelism".to_owned());
    assert_eq!((loaded.config.parallelism, loaded.origin("parallelism")), (5, flag));
    assert_eq!((loaded.config.checkpoint.retain, loaded.origin("checkpoint.retain")), (7, line(4)));
}

#[test]
fn zero_and_off_switch_the_interval_off() {
    for file in ["interval = 0", "interval = '0'", "interval = 'off'", "interval = '0s'"] {
        let loaded = load(&format!("[checkpoint]\n{file}"), &[], &[]).expect("loads");
        assert_eq!(loaded.config.checkpoint.interval, Duration::ZERO);
    }
}

#[test]
fn the_default_parallelism_never_exceeds_the_key_groups() {
    assert_eq!(load("key_groups = 2", &[], &[]).expect("loads").config.parallelism, 2);
}

#[test]
fn memory_is_written_with_its_unit() {
    for (text, mib) in [("2GiB", 2048), ("64MiB", 64), ("0.5 GiB", 512)] {
        let loaded = load(&format!("memory = '{text}'"), &[], &[]).expect("loads");
        assert_eq!(loaded.config.memory, Bytes::mib(mib));
    }
    let loaded = load("", &["RIVERRUN_MEMORY=1GiB"], &[]).expect("loads");
    assert_eq!(loaded.config.memory, Bytes::mib(1024));
    let small = ConfigSources { memory: Some(Bytes::mib(32)), ..ConfigSources::default() };
    assert_eq!(Config::load("x", &small).expect("loads").config.memory, Bytes::mib(64));
}

#[test]
fn spilled_state_lies_beside_the_checkpoints() {
    let cases = [
        ("/data/cp", "/data/spill"),
        ("cp", "spill"),
        ("memory://x", "/tmp"),
        ("s3://b/p", "/tmp"),
    ];
    for (path, dir) in cases {
        let loaded = load("", &[], &[&format!("--conf checkpoint.path={path}")]).expect("loads");
        assert_eq!(loaded.config.spill.dir, dir);
        assert_eq!(loaded.origin("spill.dir"), Origin::Default);
    }
    let flags = ["--conf checkpoint.path=/data/cp", "--conf spill.dir=/fast"];
    assert_eq!(load("", &[], &flags).expect("loads").config.spill.dir, "/fast");
}

#[test]
fn settings_are_typed_and_merged() {
    let file = "[settings]\nname = 'x'\nlist = [1, 'a', 2.5]\nday = 2020-01-01\n\
                [settings.speed]\nlimit = 0x10\nunit = 'kmh'\n[settings.empty]\n";
    let environment = ["RIVERRUN_SETTINGS__SPEED__LIMIT=7", "RIVERRUN_SETTINGS__camelCase=true"];
    let flags = [
        "--set speed.limit=900",
        "--set ratio=0.5",
        "--set zip=00815",
        "--set text=hello=world",
        "--set quoted=\"12\"",
        "--set big=18446744073709551615",
        "--set minus=-3",
        "--set list=[3,4]",
        "--set table={a=1,b={c=true}}",
        "--set json={\"a\":[1]}",
        "--set none=",
        "--conf settings.late=1",
    ];
    let loaded = load(file, &environment, &flags).expect("loads");
    let expected = json!({
        "name": "x", "list": [3, 4], "day": "2020-01-01", "empty": {},
        "speed": { "limit": 900, "unit": "kmh" }, "camelCase": true, "ratio": 0.5,
        "zip": "00815", "text": "hello=world", "quoted": "12", "big": u64::MAX, "minus": -3,
        "table": { "a": 1, "b": { "c": true } }, "json": { "a": [1] }, "none": "", "late": 1,
    });
    assert_eq!(loaded.config.settings, expected);
}

#[test]
fn a_value_replaces_a_table_and_a_table_a_value() {
    let loaded = load("[settings.a]\nb = 1\nc = 2\n", &[], &["--set a=5"]).expect("loads");
    assert_eq!(loaded.config.settings, json!({ "a": 5 }));
    let loaded = load("[settings]\na = 5\n", &[], &["--set a.b=1"]).expect("loads");
    assert_eq!(loaded.config.settings, json!({ "a": { "b": 1 } }));
}

#[test]
fn show_is_a_file_that_loads_to_the_same() {
    let file = "key_groups = 256\n[settings]\n\"odd name\" = 'a \"quoted\"\\path'\nx.y = [1, 2.5]\n\
                n = { a = [{ b = 1 }], c = [] }\nt = \"two\\nlines\"\ne = {}\n";
    let loaded = load(file, &[], &["--conf checkpoint.interval=1m30s"]).expect("loads");
    for origins in [false, true] {
        let shown = loaded.show(origins);
        let again = load(&shown, &[], &[]).unwrap_or_else(|error| panic!("{error}\n{shown}"));
        assert_eq!(again.config, loaded.config, "{shown}");
    }
}

#[test]
fn show_names_origins_and_masks_secrets() {
    let file = "[settings]\nspeed = 900\n[settings.db]\npassword = 'hunter2'\n";
    let environment = ["RIVERRUN_PARALLELISM=2"];
    let flags = ["--set api_token=abc", "--conf checkpoint.path=/data/cp"];
    let shown = load(file, &environment, &flags).expect("loads").show(true);
    let expected = r#"parallelism = 2      # environment RIVERRUN_PARALLELISM
workers = 4          # default
key_groups = 128     # default
memory = "6GiB"      # default

[checkpoint]
path = "/data/cp"    # --conf checkpoint.path
interval = "1s"      # default
timeout = "10m"      # default
min_pause = "0s"     # default
retain = 2           # default
lazy_from = "64MiB"  # default

[spill]
dir = "/data/spill"  # default

[restart]
attempts = 10        # default
backoff = "100ms"    # default
backoff_max = "30s"  # default

[log]
format = "text"      # default
level = "info"       # default

[settings]
api_token = "***"    # --set api_token
db.password = "***"  # job.toml:4
speed = 900          # job.toml:2
"#;
    assert_eq!(shown, expected);
}

#[test]
fn levels_may_name_targets() {
    for level in ["WARN", "info,my_job=debug", "off,my_job::map=trace"] {
        let loaded = load("", &[], &[&format!("--conf log.level={level}")]);
        assert_eq!(loaded.expect("loads").config.log.level, level);
    }
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let sources = ConfigSources { cores: 1, ..ConfigSources::default() };
    assert_eq!(Config::load("x", &sources).expect("loads").config.parallelism, 1);
    let file = Some(FileText { name: "a.toml".to_owned(), text: "[checkpoint]\n".to_owned() });
    let sources = ConfigSources { file, flags: Flags::default(), ..ConfigSources::default() };
    assert_eq!(Config::load("x", &sources).expect("loads").config.workers, 1);
}
