//! The broker dies and comes back while a drill runs on it, sometimes after longer than its
//! transactions live; and between two lives the drill's output is judged by another client.
//!
//! 1. The drill is started; until it says how long a run takes, its undisturbed runs go on, and
//!    the broker stays.
//! 2. From then on the broker is killed at moments drawn from the seed. Each [`LONG_EVERY`]th time
//!    it stays away past the transactions' timeout.
//! 3. After each life the drill runs `xtask drill --ask FOLDER` ([`ask`]), which hands the question
//!    to this process: the broker is let alone until it is answered ([`super::judge`], of all lives
//!    or of some).

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use xtask::say::Progress;

use super::jobs::{Built, TIMEOUT_MS};
use super::judge::Judge;

const LONG_EVERY: u64 = 5;
/// Between two kills of the broker, or the judgement of a life and the next: within a life.
const BETWEEN_MS: (u64, u64) = (1_000, 30_000);
/// How long it stays away otherwise.
const AWAY_MS: (u64, u64) = (0, 3_000);
/// How long behind the timeout it comes back.
const PAST: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(50);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(300);
/// What the drill says once its undisturbed runs are over.
const OVER: &str = "a run takes about";

/// What was done to the broker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) kills: u64,
    /// Of these, longer than transactions live.
    pub(super) past_timeout: u64,
    /// Lives that were judged by the other client.
    pub(super) judged: u64,
}

/// What happens beside a drill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    /// What moments are drawn from.
    pub(super) seed: u64,
    /// Whether the broker is killed.
    pub(super) disturbs: bool,
    /// Of so many lives one is judged by the other client, whose tools take seconds each.
    pub(super) judge_every: u64,
}

/// Runs `drill` to its end, disturbing the broker; its exit code.
pub(super) fn run(
    built: &mut Built,
    mut drill: Command,
    Beside { seed, disturbs, judge_every }: Beside,
    progress: &Progress,
) -> Result<(Option<i32>, Faults)> {
    let folder = built.folder.clone();
    let broker = built.broker.as_mut().context("the job has no broker")?;
    let judge = Judge::of_input(broker)?;
    let me = std::env::current_exe().context("this program has no path")?;
    let verify = format!("{} drill --ask {}", me.display(), folder.display());
    drill.args(["--verify", &verify]).stderr(Stdio::piped());
    let mut child = Reaped(drill.spawn().context("the drill does not start")?);
    let begun = told(&mut child.0)?;
    let (mut chance, mut faults) = (seed | 1, Faults::default());
    let (mut next, mut lives): (Option<Instant>, u64) = (None, 0);
    loop {
        if let Some(status) = child.0.try_wait().context("the drill is lost")? {
            return Ok((status.code(), faults));
        }
        if let Some((life, job)) = asked(&folder)? {
            let mut verdict = Ok(());
            if lives.is_multiple_of(judge_every) {
                verdict = judge.judge(broker, &life, &job);
                faults.judged += 1;
            }
            lives += 1;
            answer(&folder, &verdict.err().map_or_else(String::new, |error| format!("{error:#}")))?;
            // Not while the next life makes its topics.
            next = None;
        }
        let due = next.is_some_and(|next| Instant::now() >= next);
        if disturbs && begun.load(Ordering::Acquire) && (next.is_none() || due) {
            if due {
                let long = (faults.kills + 1).is_multiple_of(LONG_EVERY);
                let away = match long {
                    true => Duration::from_millis(TIMEOUT_MS) + PAST,
                    false => Duration::from_millis(drawn(&mut chance, AWAY_MS)),
                };
                progress.say(&format!("the broker is killed, for {} ms", away.as_millis()));
                broker.kill();
                std::thread::sleep(away);
                broker.restart()?;
                progress.say("the broker is back");
                faults.kills += 1;
                faults.past_timeout += u64::from(long);
            }
            next = Some(Instant::now() + Duration::from_millis(drawn(&mut chance, BETWEEN_MS)));
        }
        std::thread::sleep(LOOK);
    }
}

/// A drill that is interrupted with this process, and not left behind.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // It has ended already, or ends its own runs when it is killed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Passes on what the drill says; set once its undisturbed runs are over.
fn told(drill: &mut Child) -> Result<Arc<AtomicBool>> {
    let said = drill.stderr.take().context("the drill has no standard error")?;
    let begun = Arc::new(AtomicBool::new(false));
    let heard = begun.clone();
    // It ends with the drill.
    std::thread::spawn(move || {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            if line.contains(OVER) {
                heard.store(true, Ordering::Release);
            }
            eprintln!("    {line}");
        }
    });
    Ok(begun)
}

/// A number from the first to under the second, from a row that the seed begins (xorshift).
fn drawn(chance: &mut u64, (from, to): (u64, u64)) -> u64 {
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    from + *chance % (to - from)
}

fn question(folder: &Path) -> PathBuf {
    folder.join("question")
}

fn verdict(folder: &Path) -> PathBuf {
    folder.join("verdict")
}

/// The life that is to be judged, and the name of its job.
fn asked(folder: &Path) -> Result<Option<(PathBuf, String)>> {
    let Ok(text) = std::fs::read_to_string(question(folder)) else { return Ok(None) };
    std::fs::remove_file(question(folder)).context("the question stays")?;
    let (life, job) = text.split_once('\n').context("a question has two lines")?;
    Ok(Some((life.into(), job.to_owned())))
}

/// Writes whole or not at all.
fn put(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).with_context(|| format!("cannot write {}", draft.display()))?;
    std::fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}

fn answer(folder: &Path, text: &str) -> Result<()> {
    put(&verdict(folder), text)
}

/// The side of the drill: asks the process that started it about a life, and waits for the answer.
pub(super) fn ask(folder: &Path, about: &[String]) -> Result<bool> {
    let [life, job] = about else { anyhow::bail!("a life and the name of its job are judged") };
    put(&question(folder), &format!("{life}\n{job}"))?;
    let until = Instant::now() + ANSWER;
    loop {
        if let Ok(text) = std::fs::read_to_string(verdict(folder)) {
            std::fs::remove_file(verdict(folder)).context("the verdict stays")?;
            println!("{text}");
            return Ok(text.is_empty());
        }
        ensure!(Instant::now() < until, "nobody judges");
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_gets_its_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        let asks = std::thread::spawn(move || ask(&path, &["life".into(), "job".into()]));
        let about = loop {
            if let Some(about) = asked(folder.path()).expect("reads") {
                break about;
            }
        };
        assert_eq!(about, ("life".into(), "job".to_owned()));
        answer(folder.path(), "no").expect("writes");
        assert!(!asks.join().expect("no panic").expect("is answered"));
    }

    #[test]
    fn chance_stays_within_its_bounds_and_moves() {
        let mut chance = 7;
        let drawn: Vec<u64> = (0..100).map(|_| drawn(&mut chance, (10, 20))).collect();
        assert!(drawn.iter().all(|n| (10..20).contains(n)));
        assert!(drawn.iter().any(|n| *n != drawn[0]));
    }
}
