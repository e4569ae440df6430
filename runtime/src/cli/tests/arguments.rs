//! What the arguments mean.

use clap::{CommandFactory as _, Parser as _};
use riverrun_engine::graph::Uid;

use crate::cli::args::{Arguments, CheckpointOrder, ConfigOrder, Live, Order, RunArgs};
use crate::config::From;

fn parsed(line: &str) -> Result<Arguments, String> {
    let words = std::iter::once("job").chain(line.split_whitespace());
    Arguments::try_parse_from(words).map_err(|error| error.to_string())
}

fn run(line: &str) -> RunArgs {
    match parsed(line).expect("parses").order {
        Order::Run(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clap_finds_nothing_wrong() {
    Arguments::command().debug_assert();
}

#[test]
fn run_takes_where_to_begin_and_what_to_give_up() {
    let options = run("run").options();
    assert_eq!((options.from, options.accept_duplicates), (From::Newest, false));
    let line = "run --from 42 --drop-state a/b --drop-state a/c/d --accept-duplicates";
    let options = run(line).options();
    assert_eq!(options.from, From::Checkpoint("42".to_owned()));
    let pair = |uid: &str, state: &str| (Uid::new(uid), state.to_owned());
    assert_eq!(options.drop_state, [pair("a", "b"), pair("a", "c/d")].into());
    assert!(options.accept_duplicates);
    assert_eq!(run("run --from none").options().from, From::Beginning);
    assert_eq!(run("run --from beginning").options().from, From::Beginning);
    let elsewhere = From::Checkpoint("/old/place#7".to_owned());
    assert_eq!(run("run --from /old/place#7").options().from, elsewhere);
    assert_eq!(run("run --live never").live, Live::Never);
}

#[test]
fn the_configuration_may_stand_before_and_behind_the_command() {
    let line = "--parallelism 3 run --set a.b=1 --set c=d --conf workers=2 --config x.toml";
    let flags = parsed(line).expect("parses").flags;
    assert_eq!(flags.parallelism.as_deref(), Some("3"));
    assert_eq!(flags.settings, ["a.b=1", "c=d"]);
    assert_eq!(flags.conf, ["workers=2"]);
    assert_eq!(flags.config.as_deref(), Some(std::path::Path::new("x.toml")));
    let flags = parsed("checkpoint ls --conf checkpoint.path=/x").expect("parses").flags;
    assert_eq!(flags.conf, ["checkpoint.path=/x"]);
}

#[test]
fn commands_below_commands() {
    let order = |line: &str| match parsed(line).expect("parses").order {
        Order::Checkpoint { order } => order,
        other => panic!("{other:?}"),
    };
    assert!(matches!(order("checkpoint ls --json"), CheckpointOrder::Ls { json: true }));
    let CheckpointOrder::Verify { checkpoint, json: false } = order("checkpoint verify 7") else {
        panic!("another order")
    };
    assert_eq!(checkpoint.as_deref(), Some("7"));
    let show = parsed("config show --origin").expect("parses").order;
    assert!(matches!(show, Order::Config { order: ConfigOrder::Show { origin: true } }));
}

#[test]
fn wrong_arguments_are_explained() {
    for (line, said) in [
        ("rum", "'run'"),
        ("run --form 3", "'--from'"),
        ("run --drop-state spend", "write UID/STATE, as in `spend/slices`"),
        ("run --live sometimes", "[possible values: auto, always, never]"),
        ("graph --dot --mermaid", "cannot be used with"),
        ("check --drop-state a/b", "--against"),
        ("", "Exit codes:"),
        ("checkpoint", "verify"),
        ("run --help", "130  ended at once by a second signal"),
    ] {
        let error = parsed(line).expect_err("wrong");
        assert!(error.contains(said), "{line}: {error}");
    }
}
