// SPDX-License-Identifier: GPL-2.0

//! Properties that hold for all input, checked with random input.
//!
//! `SEED=n` repeats a run; `CASES=n` tries more or fewer than 10,000 of each.

use proptest::{
    strategy::Strategy,
    test_runner::{
        Config,
        RngAlgorithm,
        TestCaseResult,
        TestRng,
        TestRunner, //
    },
};

mod assembly;
mod frames;
mod headers;
mod seq;

/// The number in an environment variable.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Checks `property` for what `strategy` makes; panics with the smallest input that it does not
/// hold for, and the seed.
fn holds<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> TestCaseResult) {
    let seed = number("SEED").unwrap_or_else(|| std::process::id().into());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: number("CASES").map_or(10_000, |cases| cases as u32),
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(&strategy, property) {
        panic!("SEED={seed}: {error}");
    }
}
