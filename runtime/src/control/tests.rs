//! The door over the loopback interface, with a run that is played by hand.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use riverrun_engine::checkpoint::CheckpointId;

use super::{
    Command, CommandKind, Control, ControlAddress, ControlError, Door, Signals, call, serve,
};
use crate::doors;

const WAIT: Duration = Duration::from_secs(10);

/// A run that answers each order with `answer`, until there are no more.
fn run(answer: fn(CommandKind) -> Result<CheckpointId, String>, orders: usize) -> Opened {
    let (control, door) = serve(Signals::Ignored).expect("opens");
    let address = control.address.clone();
    let run = doors::spawn_thread("run", move || {
        let Control { mut commands, .. } = control;
        let mut seen = Vec::new();
        for _ in 0..orders {
            let Command { kind, reply } = commands.blocking_recv().expect("an order");
            seen.push(kind);
            drop(reply.send(answer(kind)));
        }
        seen
    });
    Opened { address, door, run }
}

struct Opened {
    address: ControlAddress,
    door: Door,
    run: std::thread::JoinHandle<Vec<CommandKind>>,
}

fn raw(port: u16, text: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    stream.write_all(text.as_bytes()).expect("writes");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("reads");
    line
}

#[test]
fn orders_are_carried_out_and_answered_even_the_last() {
    let opened =
        run(|kind| Ok(CheckpointId(if kind == CommandKind::Savepoint { 7 } else { 8 })), 2);
    let savepoint = call(&opened.address, CommandKind::Savepoint, WAIT);
    assert_eq!(savepoint.expect("done"), CheckpointId(7));
    let stop = CommandKind::Stop { savepoint: true };
    assert_eq!(call(&opened.address, stop, WAIT).expect("done"), CheckpointId(8));
    assert_eq!(opened.run.join().expect("runs"), [CommandKind::Savepoint, stop]);
    opened.door.close();
    let error = call(&opened.address, stop, WAIT).expect_err("over");
    assert!(matches!(error, ControlError::Unreachable { .. }), "{error}");
}

#[test]
fn a_refusal_says_why() {
    let opened = run(|_| Err("the disk is full".to_owned()), 1);
    let error = call(&opened.address, CommandKind::Savepoint, WAIT).expect_err("refused");
    assert_eq!(error.to_string(), "RR0312: the run refused: the disk is full");
    opened.run.join().expect("runs");
    opened.door.close();
}

#[test]
fn without_the_token_nothing_happens() {
    let opened = run(|_| Ok(CheckpointId(1)), 1);
    let port = opened.address.port;
    let guess = ControlAddress { port, token: "0".repeat(32) };
    let error = call(&guess, CommandKind::Savepoint, WAIT).expect_err("refused");
    assert_eq!(error.to_string(), "RR0312: the run refused: the token is not this run's");
    let short = ControlAddress { port, token: opened.address.token[..31].to_owned() };
    call(&short, CommandKind::Savepoint, WAIT).expect_err("refused");
    call(&opened.address, CommandKind::Stop { savepoint: false }, WAIT).expect("done");
    assert_eq!(opened.run.join().expect("runs"), [CommandKind::Stop { savepoint: false }]);
    opened.door.close();
}

#[test]
fn nonsense_is_answered_and_harmless() {
    let opened = run(|_| Ok(CheckpointId(1)), 1);
    let port = opened.address.port;
    for text in ["\n", "GET / HTTP/1.1\r\n\r\n", "{\"token\":1}\n", &"x".repeat(5000)] {
        let answer = raw(port, text);
        assert!(
            answer.starts_with("{\"ok\":false,\"error\":\"the request cannot be read"),
            "{answer}"
        );
    }
    let unknown = format!("{{\"token\":\"{}\",\"command\":\"format\"}}\n", opened.address.token);
    assert!(raw(port, &unknown).contains("unknown variant `format`"));
    call(&opened.address, CommandKind::Savepoint, WAIT).expect("done");
    opened.run.join().expect("runs");
    opened.door.close();
}

#[test]
fn a_run_that_ends_without_an_answer_is_told_as_such() {
    let (control, door) = serve(Signals::Ignored).expect("opens");
    let address = control.address.clone();
    let run = doors::spawn_thread("run", move || {
        let mut control = control;
        drop(control.commands.blocking_recv());
    });
    let error = call(&address, CommandKind::Savepoint, WAIT).expect_err("no answer");
    assert_eq!(error.to_string(), "RR0312: the run refused: the run ended before it could answer");
    run.join().expect("runs");
    door.close();
}

#[test]
fn tokens_differ_and_are_long() {
    let (one, door) = serve(Signals::Ignored).expect("opens");
    let (other, second_door) = serve(Signals::Ignored).expect("opens");
    assert_eq!(one.address.token.len(), 32);
    assert_ne!(one.address.token, other.address.token);
    assert!(!format!("{one:?}").contains(&one.address.token));
    drop((one, other));
    door.close();
    second_door.close();
}
