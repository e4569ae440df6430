//! What a run is told to do at its crash points: `point:passing:action`, several with commas.
//!
//! ```text
//! checkpoint.delta.synced:3:kill      at the third passing
//! source.batch:*:sleep=5              at each
//! ```
//!
//! Written by a drill, read by the run it starts.

use std::fmt;

use thiserror::Error;

use super::points::{POINTS, Point, point};

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process is killed, at once.
    Kill,
    /// The process is stopped until somebody lets it go on.
    Stop,
    /// The thread sleeps.
    Sleep {
        /// For so long.
        ms: u64,
    },
    /// The point fails; only fault points can.
    Error,
}

/// At which passings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// This one, counted from 1.
    Nth(u64),
    /// Each.
    Each,
}

impl Passing {
    /// Whether it is the `n`th.
    #[must_use]
    pub fn is(self, n: u64) -> bool {
        self == Passing::Each || self == Passing::Nth(n)
    }
}

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashOrder {
    /// Where.
    pub point: &'static Point,
    /// When.
    pub passing: Passing,
    /// What.
    pub action: Action,
}

/// An order that cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// No such point.
    #[error("RR0802: there is no crash point '{0}': `drill --list-points` shows them all")]
    Unknown(String),
    /// No such form.
    #[error(
        "RR0803: '{0}' is no order: write POINT:N:ACTION, N a number from 1 or `*`, ACTION one of \
         kill, stop, sleep=MS and, where a point can fail, error"
    )]
    Form(String),
}

impl CrashOrder {
    /// Reads orders with commas between them.
    ///
    /// # Errors
    /// The first that cannot be obeyed.
    pub fn parse_all(text: &str) -> Result<Vec<CrashOrder>, OrderError> {
        text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<CrashOrder, OrderError> {
        let wrong = || OrderError::Form(text.to_owned());
        let mut parts = text.split(':');
        let (Some(name), Some(passing), Some(action), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let point = point(name).ok_or_else(|| OrderError::Unknown(name.to_owned()))?;
        let passing = match passing {
            "*" => Passing::Each,
            n => Passing::Nth(n.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?),
        };
        let action = match action.split_once('=') {
            None if action == "kill" => Action::Kill,
            None if action == "stop" => Action::Stop,
            None if action == "error" && point.fails => Action::Error,
            Some(("sleep", ms)) => Action::Sleep { ms: ms.parse().map_err(|_| wrong())? },
            _ => return Err(wrong()),
        };
        Ok(CrashOrder { point, passing, action })
    }
}

impl fmt::Display for CrashOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.point.name)?;
        match self.passing {
            Passing::Nth(n) => write!(f, "{n}:")?,
            Passing::Each => write!(f, "*:")?,
        }
        match self.action {
            Action::Kill => write!(f, "kill"),
            Action::Stop => write!(f, "stop"),
            Action::Sleep { ms } => write!(f, "sleep={ms}"),
            Action::Error => write!(f, "error"),
        }
    }
}

/// The points that `list` names with commas between them; `all` for all.
///
/// # Errors
/// A name that is none.
pub fn points_of(list: &str) -> Result<Vec<&'static Point>, OrderError> {
    if list == "all" {
        return Ok(POINTS.iter().collect());
    }
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| point(name).ok_or_else(|| OrderError::Unknown(name.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_as_they_are_written() {
        let text = "source.batch:*:sleep=5,commit.followed:3:kill,storage.write:1:error,\
                    merge.done:2:stop";
        let orders = CrashOrder::parse_all(text).expect("orders");
        let again: Vec<String> = orders.iter().map(ToString::to_string).collect();
        assert_eq!(again.join(","), text);
        assert_eq!(CrashOrder::parse_all(""), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused() {
        let bad =
            ["x", "merge.done:0:kill", "merge.done:1:error", "merge.done:1:sleep", "a:1:kill"];
        for text in bad {
            assert!(CrashOrder::parse_all(text).is_err(), "{text}");
        }
        assert_eq!(points_of("nope"), Err(OrderError::Unknown("nope".to_owned())));
        assert_eq!(points_of("all").map(|all| all.len()), Ok(POINTS.len()));
    }
}
