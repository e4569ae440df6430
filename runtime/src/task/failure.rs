//! How a failure of user code is caught and told: operator, subtask, and the records it may have
//! been.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt;
use riverrun_engine::element::{Origin, Origins};
use riverrun_engine::graph::Uid;
use riverrun_engine::operator::Result;

/// Why a subtask ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The operator.
    pub uid: Uid,
    /// Its subtask.
    pub subtask: u32,
    /// What it was doing.
    pub doing: &'static str,
    /// What it said.
    pub reason: String,
    /// The records it was given.
    pub origins: Vec<Origin>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "operator '{}' (subtask {}) failed while {}",
            self.uid, self.subtask, self.doing
        )?;
        for (i, origin) in self.origins.iter().enumerate() {
            write!(f, "{}{origin}", if i == 0 { ", source position " } else { ", " })?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Why a task's loop ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Its own failure.
    Failed(Box<Failure>),
    /// Somebody else's: a channel is closed, the attempt is over.
    Cancelled,
}

thread_local! {
    /// Where the last panic under a guard happened; `None` outside of guards.
    static PANICKED_AT: RefCell<Option<String>> = const { RefCell::new(None) };
    static GUARDED: RefCell<bool> = const { RefCell::new(false) };
}

/// Lets panics under a guard be told by their failure instead of being printed. Once a process.
pub fn install_panic_hook() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if GUARDED.with_borrow(|guarded| *guarded) {
                let at = info.location().map(ToString::to_string);
                PANICKED_AT.with_borrow_mut(|panicked| *panicked = at);
            } else {
                before(info);
            }
        }));
    });
}

/// Who is being called, for the failure.
#[derive(Clone, Debug)]
pub struct Guard {
    /// The operator.
    pub uid: Uid,
    /// Its subtask.
    pub subtask: u32,
}

impl Guard {
    fn failure(&self, doing: &'static str, origins: &Origins, reason: String) -> Stopped {
        let origins = origins.known().to_vec();
        let (uid, subtask) = (self.uid.clone(), self.subtask);
        Stopped::Failed(Box::new(Failure { uid, subtask, doing, reason, origins }))
    }

    /// The failure of a task that panicked where nothing else names what it was doing: in a
    /// `Clone`, a watermark generator, a destructor.
    #[must_use]
    pub fn panicked(&self, panic: &(dyn Any + Send)) -> Stopped {
        self.failure("running", &Origins::default(), panic_text(panic))
    }

    /// Calls user code: an error or a panic becomes a failure.
    ///
    /// # Errors
    /// The failure.
    pub fn call<R>(
        &self,
        doing: &'static str,
        origins: &Origins,
        code: impl FnOnce() -> Result<R>,
    ) -> Result<R, Stopped> {
        GUARDED.with_borrow_mut(|guarded| *guarded = true);
        let result = catch_unwind(AssertUnwindSafe(code));
        GUARDED.with_borrow_mut(|guarded| *guarded = false);
        self.judge(doing, origins, result)
    }

    /// As [`Guard::call`], for code that waits.
    ///
    /// # Errors
    /// The failure.
    pub async fn wait<R>(
        &self,
        doing: &'static str,
        origins: &Origins,
        code: impl Future<Output = Result<R>>,
    ) -> Result<R, Stopped> {
        let mut code = Box::pin(AssertUnwindSafe(code).catch_unwind());
        let result = std::future::poll_fn(|cx| {
            GUARDED.with_borrow_mut(|guarded| *guarded = true);
            let polled = code.as_mut().poll(cx);
            GUARDED.with_borrow_mut(|guarded| *guarded = false);
            polled
        });
        self.judge(doing, origins, result.await)
    }

    fn judge<R>(
        &self,
        doing: &'static str,
        origins: &Origins,
        result: Result<Result<R>, Box<dyn Any + Send>>,
    ) -> Result<R, Stopped> {
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failure(doing, origins, format!("{error:#}"))),
            Err(panic) => Err(self.failure(doing, origins, panic_text(panic.as_ref()))),
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let at = PANICKED_AT.with_borrow_mut(Option::take);
    let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
    format!("panicked{at}: {}", text.unwrap_or_else(|| "without a message".to_owned()))
}
