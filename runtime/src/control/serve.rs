//! The outer side: a listener on a thread of its own, which ends with the run.

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use riverrun_engine::checkpoint::CheckpointId;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::signals::{Signals, Watched};
use super::{Answer, Command, Control, ControlAddress, Request};
use crate::doors;

/// Orders that wait for the run.
const ORDERS_MAX: usize = 16;
/// Callers at a time; more wait to be accepted.
const CALLS_MAX: usize = 16;
/// The length of a request.
const REQUEST_BYTES_MAX: u64 = 4096;
/// How long a caller may take to say what it wants.
const REQUEST_WAIT: Duration = Duration::from_secs(5);
/// How long the last answers may take once the run is over.
const LAST_ANSWERS_WAIT: Duration = Duration::from_secs(2);

/// The open door; closes by itself when the run drops its [`Control`].
#[derive(Debug)]
pub struct Door {
    thread: JoinHandle<()>,
}

impl Door {
    /// Waits, briefly, until everyone who asked has an answer. To be called when the run is over.
    pub fn close(self) {
        drop(self.thread.join());
    }
}

/// Opens the door on a free port.
///
/// # Errors
/// When the system has no port, or does not let signals be heard.
pub fn serve(signals: Signals) -> io::Result<(Control, Door)> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = ControlAddress { port: listener.local_addr()?.port(), token: token() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (listener, watched) = {
        let _inside = runtime.enter();
        let watched = (signals == Signals::Heard).then(Watched::new).transpose()?;
        (TcpListener::from_std(listener)?, watched)
    };
    let (orders, commands) = mpsc::channel(ORDERS_MAX);
    let token = address.token.clone();
    let thread = doors::spawn_thread("control", move || {
        runtime.block_on(listen(listener, &token, orders, watched));
    });
    Ok((Control { address, commands }, Door { thread }))
}

async fn listen(
    listener: TcpListener,
    token: &str,
    orders: mpsc::Sender<Command>,
    mut signals: Option<Watched>,
) {
    let mut calls = FuturesUnordered::new();
    loop {
        let signal = async {
            match &mut signals {
                Some(signals) => signals.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = orders.closed() => break,
            () = signal => {
                if let Some(signals) = &mut signals {
                    signals.act(&orders);
                }
            }
            Some(()) = calls.next(), if !calls.is_empty() => {}
            accepted = listener.accept(), if calls.len() < CALLS_MAX => match accepted {
                Ok((stream, _)) => calls.push(answer(stream, token, &orders)),
                // The system is out of something: it will not be better at once.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
    let last = async { while calls.next().await.is_some() {} };
    drop(tokio::time::timeout(LAST_ANSWERS_WAIT, last).await);
}

/// Serves one caller; whatever goes wrong with the connection is the caller's to notice.
async fn answer(mut stream: TcpStream, token: &str, orders: &mpsc::Sender<Command>) {
    let asked = tokio::time::timeout(REQUEST_WAIT, read(&mut stream)).await;
    let done = match asked {
        Ok(Ok(request)) if same(&request.token, token) => order(request, orders).await,
        Ok(Ok(_)) => Err("the token is not this run's".to_owned()),
        Ok(Err(reason)) => Err(format!("the request cannot be read: {reason}")),
        Err(_) => Err("no request came".to_owned()),
    };
    let answer = match done {
        Ok(checkpoint) => Answer { ok: true, checkpoint: Some(checkpoint), error: None },
        Err(error) => Answer { ok: false, checkpoint: None, error: Some(error) },
    };
    if let Ok(mut line) = serde_json::to_vec(&answer) {
        line.push(b'\n');
        drop(stream.write_all(&line).await);
        drop(stream.shutdown().await);
    }
}

async fn read(stream: &mut TcpStream) -> Result<Request, String> {
    let mut line = String::new();
    let mut limited = BufReader::new(stream.take(REQUEST_BYTES_MAX));
    limited.read_line(&mut line).await.map_err(|error| error.to_string())?;
    serde_json::from_str(&line).map_err(|error| error.to_string())
}

async fn order(request: Request, orders: &mpsc::Sender<Command>) -> Result<CheckpointId, String> {
    let over = || "the run ended before it could answer".to_owned();
    let (reply, answer) = oneshot::channel();
    let command = Command { kind: request.command, reply };
    orders.send(command).await.map_err(|_| over())?;
    answer.await.map_err(|_| over())?
}

/// Takes the same time wherever the difference is.
fn same(a: &str, b: &str) -> bool {
    let differences = a.bytes().zip(b.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && differences == 0
}

/// 128 bits that nobody can guess: the hash of nothing under two keys that the system drew.
#[allow(clippy::disallowed_methods, reason = "this is the door to chance for tokens")]
fn token() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let draw = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", draw(), draw())
}
