//! The other side of the door: how the commands `savepoint` and `stop` call a run.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use riverrun_engine::checkpoint::CheckpointId;
use thiserror::Error;

use super::{Answer, CommandKind, ControlAddress, Request};

const CONNECT_WAIT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// An order that was not carried out.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Nobody is there.
    #[error(
        "RR0310: the run does not answer on port {port} of this machine: {reason}; if it runs on \
         another machine, give the order there; if it just ended, there is nothing to do"
    )]
    Unreachable {
        /// The port.
        port: u16,
        /// What the system says.
        reason: String,
    },
    /// The connection broke, or took too long.
    #[error(
        "RR0311: the run took the order, but its answer did not come: {reason}; `checkpoint ls` \
         shows whether it was carried out"
    )]
    NoAnswer {
        /// What the system says.
        reason: String,
    },
    /// It said no.
    #[error("RR0312: the run refused: {reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
}

/// Gives an order to the run at `address` and waits, at most `wait`, until it is carried out.
///
/// # Errors
/// When nobody is there, no answer comes, or the run refuses.
pub fn call(
    address: &ControlAddress,
    command: CommandKind,
    wait: Duration,
) -> Result<CheckpointId, ControlError> {
    let port = address.port;
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let unreachable =
        |error: std::io::Error| ControlError::Unreachable { port, reason: error.to_string() };
    let mut stream = TcpStream::connect_timeout(&at, CONNECT_WAIT).map_err(unreachable)?;
    stream.set_read_timeout(Some(wait)).map_err(unreachable)?;
    let request = Request { token: address.token.clone(), command };
    let line = serde_json::to_string(&request).map_err(|e| unreachable(e.into()))?;
    stream.write_all(format!("{line}\n").as_bytes()).map_err(unreachable)?;

    let mut line = String::new();
    let read = BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut line);
    let no_answer = |reason: String| ControlError::NoAnswer { reason };
    read.map_err(|error| no_answer(error.to_string()))?;
    if line.is_empty() {
        return Err(no_answer("the connection was closed".to_owned()));
    }
    let answer: Answer = serde_json::from_str(&line).map_err(|e| no_answer(e.to_string()))?;
    match answer {
        Answer { ok: true, checkpoint: Some(checkpoint), .. } => Ok(checkpoint),
        Answer { error, .. } => {
            Err(ControlError::Refused { reason: error.unwrap_or_else(|| "no reason".to_owned()) })
        }
    }
}
