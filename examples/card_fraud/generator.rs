//! Synthetic transactions with planted, labelled fraud.

use riverrun::connectors::datagen::{Chance, Datagen};
use riverrun::prelude::*;

use crate::transactions::Transaction;

/// `--set out=DIR --set seed=7 --set events=100000 --set rate=50000`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The folder of the output; for `fill.rs`, the topic.
    pub(crate) out: String,
    /// Another seed, other transactions.
    pub(crate) seed: u64,
    /// How many.
    pub(crate) events: u64,
    /// How many a second; 0: as fast as the job takes them.
    pub(crate) rate: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { out: "card-fraud-out".to_owned(), seed: 42, events: 2_000_000, rate: 0 }
    }
}

/// One split, so that a card's transactions come in one order in every run.
pub(crate) fn generated(settings: &Settings) -> impl Source<Item = Transaction> + use<> {
    Datagen::new(transaction).seed(settings.seed).count(settings.events).rate(settings.rate)
}

const CARDS: u64 = 5_000;

/// Transaction `i` of a hundred a second. In each minute one card is stolen: for twenty seconds
/// part of the transactions are the thief's, large and, every other minute, from abroad. Some
/// honest cards spend much too, and some thieves little: no rule finds all fraud and nothing else.
fn transaction(i: u64, chance: &mut Chance) -> Transaction {
    let (ms, minute) = (i * 10, i / 6_000);
    let stolen = minute * 7_919 % CARDS;
    let thief = ms % 60_000 / 20_000 == 1 && chance.below(60) == 0;
    let spree = !thief && chance.below(1_000) == 0;
    let card = match (thief, spree) {
        (true, _) => stolen,
        (_, true) => minute / 10 % CARDS,
        _ => chance.below(CARDS),
    };
    let greed = if minute % 7 == 3 { 9_000 } else { 60_000 };
    let cents = match (thief, spree) {
        (true, _) => 5_000 + chance.below(greed),
        (_, true) => 9_000 + chance.below(40_000),
        _ => 300 + chance.below(9_700),
    };
    let abroad = thief && minute.is_multiple_of(2);
    Transaction {
        card,
        cents: cents as i64,
        country: (card % 40) as u16 + if abroad { 100 } else { 0 },
        at: Timestamp::from_millis(1_700_000_000_000 + ms as i64),
        fraud: thief,
    }
}
