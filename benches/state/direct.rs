//! What does a running sum cost over RocksDB used directly? `cargo xtask bench rocksdb`.

use std::time::Instant;

use serde::Serialize;

use super::draw::{Draw, Keys};
use super::rocks_direct::Direct;

/// One line of the result.
#[derive(Serialize)]
struct Line {
    system: &'static str,
    keys: u64,
    drawn: &'static str,
    memory_mib: u64,
    events: u64,
    ns_per_event: f64,
    checksum: u64,
}

/// What the command line says.
struct Args {
    events: u64,
    keys: Vec<u64>,
    memory_mib: u64,
    json: bool,
}

fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Args> {
    let mut args = Args { events: 4_000_000, keys: Vec::new(), memory_mib: 256, json: false };
    while let Some(word) = words.next() {
        let mut number = || -> anyhow::Result<u64> {
            let text = words.next().ok_or_else(|| anyhow::anyhow!("{word} takes a number"))?;
            text.parse().map_err(|_| anyhow::anyhow!("{word} {text}: not a whole number"))
        };
        match word.as_str() {
            "--events" => args.events = number()?,
            "--keys" => args.keys.push(number()?.max(1)),
            "--memory-mib" => args.memory_mib = number()?,
            "--json" => args.json = true,
            _ => anyhow::bail!("{word}: there is --events N, --keys N, --memory-mib N, --json"),
        }
    }
    if args.keys.is_empty() {
        args.keys = vec![100_000, 1_000_000, 10_000_000];
    }
    Ok(args)
}

/// Every key is there before the clock starts.
fn measure(args: &Args, keys: u64, drawn: Keys) -> anyhow::Result<Line> {
    let direct = Direct::open(args.memory_mib << 20)?;
    for key in 0..keys {
        direct.add(key, 1)?;
    }
    let mut draw = Draw::new(keys, drawn);
    let mut checksum = 0_u64;
    let began = Instant::now();
    for _ in 0..args.events {
        checksum = checksum.wrapping_add(direct.add(draw.next_key(), 1)?);
    }
    let ns_per_event = began.elapsed().as_nanos() as f64 / args.events as f64;
    let (memory_mib, events) = (args.memory_mib, args.events);
    let (system, drawn) = ("rocksdb directly", drawn.name());
    Ok(Line { system, keys, drawn, memory_mib, events, ns_per_event, checksum })
}

/// Prints a line for each number of keys and each way to draw them.
pub(crate) fn run(words: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let args = parse(words)?;
    if !args.json {
        println!("{:<18}{:>12}  {:<10}{:>12}", "running sum", "keys", "drawn", "ns an event");
    }
    for keys in &args.keys {
        for drawn in [Keys::Uniform, Keys::Zipf] {
            let line = measure(&args, *keys, drawn)?;
            match args.json {
                true => println!("{}", serde_json::to_string(&line)?),
                false => println!(
                    "{:<18}{:>12}  {:<10}{:>12.0}",
                    line.system, line.keys, line.drawn, line.ns_per_event
                ),
            }
        }
    }
    Ok(())
}
