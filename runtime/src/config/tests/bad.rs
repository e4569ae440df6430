//! Wrong configurations, each with the whole text of its error.

use super::load;

/// File, variables, flags, and the whole text of the error.
type Case = (&'static str, &'static [&'static str], &'static [&'static str], &'static str);

const DURATION: &str = "a duration with its unit, such as `100ms`, `1s` or `10min`";

const BAD: &[Case] = &[
    (
        "memory = 1000000000",
        &[],
        &[],
        "RR0304: job.toml:1: `memory` is 1000000000; it must be a size with its unit, such as \
         `512MiB` or `2GiB`, and at least 64MiB",
    ),
    (
        "",
        &["RIVERRUN_MEMORY=1MiB"],
        &[],
        "RR0304: environment RIVERRUN_MEMORY: `memory` is \"1MiB\"; it must be a size with its \
         unit, such as `512MiB` or `2GiB`, and at least 64MiB",
    ),
    (
        "[spill]\ndir = 's3://fast/disk'",
        &[],
        &[],
        "RR0304: job.toml:2: `spill.dir` is \"s3://fast/disk\"; it must be a folder on a local \
         disk",
    ),
    (
        "parallelism = 0",
        &[],
        &[],
        "RR0304: job.toml:1: `parallelism` is 0; it must be a whole number from 1 to 128, the \
         number of key groups",
    ),
    (
        "",
        &["RIVERRUN_PARALLELISM=0"],
        &[],
        "RR0304: environment RIVERRUN_PARALLELISM: `parallelism` is 0; it must be a whole number \
         from 1 to 128, the number of key groups",
    ),
    (
        "",
        &[],
        &["--parallelism 129"],
        "RR0304: --parallelism: `parallelism` is 129; it must be a whole number from 1 to 128, \
         the number of key groups",
    ),
    (
        "\n\nkey_groups = 8\n",
        &[],
        &["--conf parallelism=9"],
        "RR0304: --conf parallelism: `parallelism` is 9; it must be a whole number from 1 to 8, \
         the number of key groups",
    ),
    (
        "",
        &[],
        &["--parallelism many"],
        "RR0304: --parallelism: `parallelism` is \"many\"; it must be a whole number from 1 to \
         the number of key groups",
    ),
    (
        "parallelism = '2'",
        &[],
        &[],
        "RR0304: job.toml:1: `parallelism` is \"2\"; it must be a whole number from 1 to the \
         number of key groups",
    ),
    (
        "parallelism = -1",
        &[],
        &[],
        "RR0304: job.toml:1: `parallelism` is -1; it must be a whole number from 1 to the number \
         of key groups",
    ),
    (
        "workers = 0",
        &[],
        &[],
        "RR0304: job.toml:1: `workers` is 0; it must be a whole number from 1 to 1024",
    ),
    (
        "workers = 2000",
        &[],
        &[],
        "RR0304: job.toml:1: `workers` is 2000; it must be a whole number from 1 to 1024",
    ),
    (
        "key_groups = 100",
        &[],
        &[],
        "RR0304: job.toml:1: `key_groups` is 100; it must be a power of two from 1 to 32768",
    ),
    (
        "",
        &["RIVERRUN_KEY_GROUPS=65536"],
        &[],
        "RR0304: environment RIVERRUN_KEY_GROUPS: `key_groups` is \"65536\"; it must be a power \
         of two from 1 to 32768",
    ),
    (
        "[checkpoint]\ninterval = 100",
        &[],
        &[],
        "RR0304: job.toml:2: `checkpoint.interval` is 100; it must be <duration>, or `off`",
    ),
    (
        "[checkpoint]\n\ninterval = '19ms'",
        &[],
        &[],
        "RR0304: job.toml:3: `checkpoint.interval` is \"19ms\"; it must be at least 20ms, or \
         `off`",
    ),
    (
        "",
        &["RIVERRUN_CHECKPOINT__INTERVAL=1 fortnight"],
        &[],
        "RR0304: environment RIVERRUN_CHECKPOINT__INTERVAL: `checkpoint.interval` is \"1 \
         fortnight\"; it must be <duration>, or `off`",
    ),
    (
        "",
        &[],
        &["--conf checkpoint.interval=never"],
        "RR0304: --conf checkpoint.interval: `checkpoint.interval` is \"never\"; it must be \
         <duration>, or `off`",
    ),
    (
        "[checkpoint]\ntimeout = 'off'",
        &[],
        &[],
        "RR0304: job.toml:2: `checkpoint.timeout` is \"off\"; it must be <duration>",
    ),
    (
        "[checkpoint]\ntimeout = '10ms'",
        &[],
        &[],
        "RR0304: job.toml:2: `checkpoint.timeout` is \"10ms\"; it must be at least 20ms",
    ),
    (
        "[checkpoint]\ntimeout = '1s'",
        &[],
        &["--conf checkpoint.interval=5s"],
        "RR0305: job.toml:2: `checkpoint.timeout` is \"1s\"; it must be longer than \
         `checkpoint.interval`, which is \"5s\" (--conf checkpoint.interval)",
    ),
    (
        "checkpoint.min_pause = '900 years'",
        &[],
        &[],
        "RR0304: job.toml:1: `checkpoint.min_pause` is \"900 years\"; it must be at most 365days",
    ),
    (
        "checkpoint.retain = 0",
        &[],
        &[],
        "RR0304: job.toml:1: `checkpoint.retain` is 0; it must be a whole number from 1 to 10000",
    ),
    (
        "checkpoint.path = ''",
        &[],
        &[],
        "RR0304: job.toml:1: `checkpoint.path` is \"\"; it must be a folder, `memory://name` or \
         `s3://bucket/path`",
    ),
    (
        "checkpoint.path = 'hdfs://x/y'",
        &[],
        &[],
        "RR0304: job.toml:1: `checkpoint.path` is \"hdfs://x/y\"; it must be a folder, \
         `memory://name` or `s3://bucket/path`",
    ),
    (
        "checkpoint.path = ['a']",
        &[],
        &[],
        "RR0304: job.toml:1: `checkpoint.path` is an array; it must be a folder, `memory://name` \
         or `s3://bucket/path`",
    ),
    (
        "checkpoint = 5",
        &[],
        &[],
        "RR0304: job.toml:1: `checkpoint` is 5; it must be a table: `[checkpoint]`",
    ),
    (
        "restart.attempts = 1.5",
        &[],
        &[],
        "RR0304: job.toml:1: `restart.attempts` is 1.5; it must be a whole number from 0 to \
         1000000",
    ),
    (
        "[restart]\nbackoff = '1min'",
        &[],
        &[],
        "RR0305: job.toml:2: `restart.backoff` is \"1m\"; it must be at most \
         `restart.backoff_max`, which is \"30s\" (default)",
    ),
    (
        "log.format = 'yaml'",
        &[],
        &[],
        "RR0304: job.toml:1: `log.format` is \"yaml\"; it must be `text` or `json`",
    ),
    (
        "log.level = 'inof'",
        &[],
        &[],
        "RR0304: job.toml:1: `log.level` is \"inof\"; it must be a level (off, error, warn, info, \
         debug, trace), or several `target=level` after one, as in `info,my_job=debug`; did you \
         mean `info` for `inof`?",
    ),
    (
        "",
        &[],
        &["--conf log.level=info,my_job"],
        "RR0304: --conf log.level: `log.level` is \"info,my_job\"; it must be a level (off, \
         error, warn, info, debug, trace), or several `target=level` after one, as in \
         `info,my_job=debug`",
    ),
    (
        "paralelism = 2",
        &[],
        &[],
        "RR0303: job.toml:1: there is no `paralelism`; did you mean `parallelism`? (the job's own \
         settings go under `[settings]`)",
    ),
    (
        "interval = '1s'",
        &[],
        &[],
        "RR0303: job.toml:1: there is no `interval`; did you mean `checkpoint.interval`? (the \
         job's own settings go under `[settings]`)",
    ),
    (
        "[checkpoints]\ninterval = '1s'",
        &[],
        &[],
        "RR0303: job.toml:2: there is no `checkpoints.interval`; did you mean \
         `checkpoint.interval`? (the job's own settings go under `[settings]`)",
    ),
    (
        "speed = 3",
        &[],
        &[],
        "RR0303: job.toml:1: there is no `speed`; there is: parallelism, workers, key_groups, \
         memory, checkpoint.path, checkpoint.interval, checkpoint.timeout, checkpoint.min_pause, \
         checkpoint.retain, checkpoint.lazy_from, spill.dir, restart.attempts, restart.backoff, \
         restart.backoff_max, log.format, log.level, settings (the job's own settings go under \
         `[settings]`)",
    ),
    (
        "",
        &["RIVERRUN_CHECKPOINT_INTERVAL=1s"],
        &[],
        "RR0303: environment RIVERRUN_CHECKPOINT_INTERVAL: there is no \
         `RIVERRUN_CHECKPOINT_INTERVAL`; did you mean `RIVERRUN_CHECKPOINT__INTERVAL`?",
    ),
    (
        "",
        &["RIVERRUN_SETTINGS=1"],
        &[],
        "RR0303: environment RIVERRUN_SETTINGS: there is no `RIVERRUN_SETTINGS`; did you mean \
         `RIVERRUN_SETTINGS__<NAME>`?",
    ),
    (
        "",
        &["RIVERRUN_XYZZYXYZZYXYZZY=1"],
        &[],
        "RR0303: environment RIVERRUN_XYZZYXYZZYXYZZY: there is no \
         `RIVERRUN_XYZZYXYZZYXYZZY`; there is: RIVERRUN_PARALLELISM, RIVERRUN_WORKERS, \
         RIVERRUN_KEY_GROUPS, RIVERRUN_MEMORY, RIVERRUN_CHECKPOINT__PATH, \
         RIVERRUN_CHECKPOINT__INTERVAL, RIVERRUN_CHECKPOINT__TIMEOUT, \
         RIVERRUN_CHECKPOINT__MIN_PAUSE, RIVERRUN_CHECKPOINT__RETAIN, \
         RIVERRUN_CHECKPOINT__LAZY_FROM, RIVERRUN_SPILL__DIR, RIVERRUN_RESTART__ATTEMPTS, \
         RIVERRUN_RESTART__BACKOFF, RIVERRUN_RESTART__BACKOFF_MAX, RIVERRUN_LOG__FORMAT, \
         RIVERRUN_LOG__LEVEL, RIVERRUN_SETTINGS__<NAME>",
    ),
    (
        "",
        &[],
        &["--conf speed=3"],
        "RR0303: --conf speed: there is no `speed`; there is: parallelism, workers, key_groups, \
         memory, checkpoint.path, checkpoint.interval, checkpoint.timeout, checkpoint.min_pause, \
         checkpoint.retain, checkpoint.lazy_from, spill.dir, restart.attempts, restart.backoff, \
         restart.backoff_max, log.format, log.level, settings (the job's own settings are set with \
         `--set`)",
    ),
    (
        "",
        &[],
        &["--set speed"],
        "RR0306: --set speed: write `--set KEY=VALUE`, with dots between the parts of KEY",
    ),
    (
        "",
        &[],
        &["--set a..b=secret"],
        "RR0306: --set a..b: write `--set KEY=VALUE`, with dots between the parts of KEY",
    ),
    (
        "",
        &[],
        &["--conf =5"],
        "RR0306: --conf : write `--conf KEY=VALUE`, with dots between the parts of KEY",
    ),
    (
        "",
        &[],
        &["--set list=[1,"],
        "RR0304: --set list: `settings.list` is not readable; it must be an array, table or \
         string, closed, as in TOML or JSON",
    ),
    (
        "",
        &[],
        &["--set list=[null]"],
        "RR0304: --set list: `settings.list` is not readable; it must be without null: leave it \
         out",
    ),
    (
        "settings = 5",
        &[],
        &[],
        "RR0304: job.toml:1: `settings` is 5; it must be a table: `[settings]`",
    ),
    (
        "[settings]\nx = nan",
        &[],
        &[],
        "RR0304: job.toml:2: `settings.x` is nan; it must be a finite number",
    ),
    (
        "[settings]\nx = 99999999999999999999",
        &[],
        &[],
        "RR0304: job.toml:2: `settings.x` is 99999999999999999999; it must be a whole number of \
         at most 64 bits",
    ),
    (
        "parallelism = 2\nparallelism = 3",
        &[],
        &[],
        "RR0302: job.toml:2: this is not TOML: duplicate key",
    ),
    (
        "[checkpoint\n",
        &[],
        &[],
        "RR0302: job.toml:1: this is not TOML: unclosed table, expected `]`",
    ),
    (
        "a = \n",
        &[],
        &[],
        "RR0302: job.toml:1: this is not TOML: string values must be quoted, expected literal \
         string",
    ),
];

#[test]
fn every_error_says_what_where_and_what_is_allowed() {
    for (file, environment, flags, expected) in BAD {
        match load(file, environment, flags) {
            Ok(_) => panic!("{file:?} {environment:?} {flags:?} loads; expected: {expected}"),
            Err(error) => {
                let expected = expected.replace("<duration>", DURATION);
                assert_eq!(error.to_string(), expected, "{file:?} {environment:?} {flags:?}");
            }
        }
    }
}
