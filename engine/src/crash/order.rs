//! What a run is told to do at its crash points: `point:passing:action`, several with commas.
//!
//! ```text
//! checkpoint.delta.synced:3:kill      at the third passing
//! storage.write:3-9:error             from the third to the ninth
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
    /// The wall clock of the process is put forwards or backwards.
    Clock {
        /// By so much.
        ms: i64,
    },
    /// From here on others want the CPUs too.
    Crowd {
        /// So many threads of theirs.
        threads: u32,
    },
}

/// At which passings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// This one, counted from 1.
    Nth(u64),
    /// From the first of these to the second.
    Span(u64, u64),
    /// Each.
    Each,
}

impl Passing {
    /// Whether it is the `n`th.
    #[must_use]
    pub fn is(self, n: u64) -> bool {
        match self {
            Passing::Nth(nth) => n == nth,
            Passing::Span(first, last) => (first..=last).contains(&n),
            Passing::Each => true,
        }
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
        "RR0803: '{0}' is no order: write POINT:N:ACTION, N a number from 1, two with `-` between \
         them, or `*`; ACTION one of kill, stop, sleep=MS, clock=MS, crowd=THREADS and, where a \
         point can fail, error"
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
        let number = |n: &str| n.parse::<u64>().ok().filter(|n| *n > 0).ok_or_else(wrong);
        let passing = match (passing, passing.split_once('-')) {
            ("*", _) => Passing::Each,
            (_, Some((first, last))) => Passing::Span(number(first)?, number(last)?),
            (n, None) => Passing::Nth(number(n)?),
        };
        let action = match action.split_once('=') {
            None if action == "kill" => Action::Kill,
            None if action == "stop" => Action::Stop,
            None if action == "error" && point.fails => Action::Error,
            Some(("sleep", ms)) => Action::Sleep { ms: ms.parse().map_err(|_| wrong())? },
            Some(("clock", ms)) => Action::Clock { ms: ms.parse().map_err(|_| wrong())? },
            Some(("crowd", n)) => Action::Crowd { threads: n.parse().map_err(|_| wrong())? },
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
            Passing::Span(first, last) => write!(f, "{first}-{last}:")?,
            Passing::Each => write!(f, "*:")?,
        }
        match self.action {
            Action::Kill => write!(f, "kill"),
            Action::Stop => write!(f, "stop"),
            Action::Sleep { ms } => write!(f, "sleep={ms}"),
            Action::Error => write!(f, "error"),
            Action::Clock { ms } => write!(f, "clock={ms}"),
            Action::Crowd { threads } => write!(f, "crowd={threads}"),
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
                    merge.done:2:stop,storage.write:2-5:error,source.batch:3:clock=-1000,\
                    start.locked:1:crowd=4";
        let orders = CrashOrder::parse_all(text).expect("orders");
        let again: Vec<String> = orders.iter().map(ToString::to_string).collect();
        assert_eq!(again.join(","), text);
        assert_eq!(CrashOrder::parse_all(""), Ok(Vec::new()));
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused() {
        let bad = [
            "x",
            "merge.done:0:kill",
            "merge.done:1:error",
            "merge.done:1:sleep",
            "a:1:kill",
            "merge.done:1-:kill",
            "merge.done:1:clock=x",
        ];
        for text in bad {
            assert!(CrashOrder::parse_all(text).is_err(), "{text}");
        }
        assert_eq!(points_of("nope"), Err(OrderError::Unknown("nope".to_owned())));
        assert_eq!(points_of("all").map(|all| all.len()), Ok(POINTS.len()));
    }
}
