//! Which key comes next: all alike, or few of them most of the time.

/// How keys are drawn.
#[derive(Clone, Copy)]
pub(crate) enum Keys {
    /// All alike.
    Uniform,
    /// The n-th most frequent key in proportion to 1 / n^0.99, as YCSB draws.
    Zipf,
}

impl Keys {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Keys::Uniform => "uniform",
            Keys::Zipf => "zipf 0.99",
        }
    }
}

const SKEW: f64 = 0.99;

/// Draws keys from 0 to their number; the same ones in every run.
pub(crate) struct Draw {
    keys: u64,
    drawn: Keys,
    state: u64,
    sum: f64,
}

impl Draw {
    pub(crate) fn new(keys: u64, drawn: Keys) -> Draw {
        let weight = |n: u64| (n as f64).powf(-SKEW);
        let sum = match drawn {
            Keys::Uniform => 0.0,
            Keys::Zipf => (1..=keys).map(weight).sum(),
        };
        Draw { keys, drawn, state: 1, sum }
    }

    /// SplitMix64.
    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn next_key(&mut self) -> u64 {
        let number = self.number();
        match self.drawn {
            Keys::Uniform => ((u128::from(number) * u128::from(self.keys)) >> 64) as u64,
            Keys::Zipf => self.rank((number >> 11) as f64 / (1_u64 << 53) as f64),
        }
    }

    /// Gray and others 1994, "Quickly generating billion-record synthetic databases".
    fn rank(&self, uniform: f64) -> u64 {
        let scaled = uniform * self.sum;
        let second = 1.0 + 0.5_f64.powf(SKEW);
        if scaled < 1.0 {
            return 0;
        }
        if scaled < second {
            return 1.min(self.keys - 1);
        }
        let keys = self.keys as f64;
        let eta = (1.0 - (2.0 / keys).powf(1.0 - SKEW)) / (1.0 - second / self.sum);
        let rank = keys * (eta * uniform - eta + 1.0).powf(1.0 / (1.0 - SKEW));
        (rank as u64).min(self.keys - 1)
    }
}
