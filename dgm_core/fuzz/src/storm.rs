//! The fuzz targets without cargo-fuzz: damaged inputs as fast as one core makes them, the same for the same seed.
//!
//! ```text
//! storm [--frames 100000000] [--cases 1000000] [--seed 1] [--seeds fuzz/seeds] [--artifacts fuzz/artifacts]
//! ```
//!
//! `frames` go through the parsers alone, `cases` through each session and the server's parser. No coverage guides it.
//! One line of JSON each; an input that fails is written to the artifacts and ends it.
use std::error::Error;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::time::Instant;

use dgm_core_fuzz::mutate::{damage, Random};
use dgm_core_fuzz::parsers::{seeds, Parsers};
use dgm_core_fuzz::{master_rtu, master_tcp, server};

/// Of the frames, one in so many goes over a serial line, where every byte is looked at.
const SERIAL_EVERY: u64 = 8;

struct Options {
    frames: u64,
    cases: u64,
    seed: u64,
    seeds: PathBuf,
    artifacts: PathBuf,
}

impl Options {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let given = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
        let number = |name: &str, absent: u64| match given(name) {
            Some(word) => word.parse().map_err(|_| format!("{name}: found {word}; expected a number")),
            None => Ok(absent),
        };
        let path = |name: &str, absent: &str| PathBuf::from(given(name).map_or(absent, String::as_str));
        Ok(Self {
            frames: number("--frames", 100_000_000)?,
            cases: number("--cases", 1_000_000)?,
            seed: number("--seed", 1)?,
            seeds: path("--seeds", "fuzz/seeds"),
            artifacts: path("--artifacts", "fuzz/artifacts"),
        })
    }

    /// Runs `cases` inputs that `next` makes; a panic leaves the input behind.
    fn run(
        &self,
        name: &str,
        cases: u64,
        mut next: impl FnMut(u64, &mut Vec<u8>, &mut Random),
        mut take: impl FnMut(u64, &[u8]),
    ) -> Result<f64, Box<dyn Error>> {
        let (mut random, mut input, started) = (Random::new(self.seed), Vec::new(), Instant::now());
        for case in 0..cases {
            next(case, &mut input, &mut random);
            if catch_unwind(AssertUnwindSafe(|| take(case, &input))).is_err() {
                std::fs::create_dir_all(&self.artifacts)?;
                let path = self.artifacts.join(format!("storm-{name}-{}-{case}", self.seed));
                std::fs::write(&path, &input)?;
                return Err(format!(
                    "{name}: case {case} of seed {} failed; its input is {}",
                    self.seed,
                    path.display()
                )
                .into());
            }
        }
        Ok(started.elapsed().as_secs_f64())
    }

    fn parsers(&self) -> Result<(), Box<dyn Error>> {
        let (seeds, mut parsers) = (seeds(), Parsers::default());
        let (count, of) = (seeds.len() as u64, |case: u64| &seeds[(case / SERIAL_EVERY) as usize % seeds.len()]);
        let next = |case: u64, input: &mut Vec<u8>, random: &mut Random| {
            let seed = of(case);
            input.clear();
            if case % SERIAL_EVERY == 0 {
                input.extend_from_slice(&seed.rtu);
                return damage(input, random);
            }
            input.extend_from_slice(&seed.tcp);
            damage(input, random);
            if case % SERIAL_EVERY == 1 {
                input.extend_from_slice(&seed.tcp);
            }
        };
        let take = |case: u64, input: &[u8]| match case % SERIAL_EVERY {
            0 => parsers.rtu(of(case), input),
            cut => parsers.tcp(of(case), input, (cut as usize * 37) % (input.len() + 1)),
        };
        let seconds = self.run("parsers", self.frames, next, take)?;
        println!(
            "{{\"target\": \"parsers\", \"frames\": {}, \"seeds\": {count}, \"whole\": {}, \"taken\": {}, \"seed\": {}, \"seconds\": {seconds:.1}}}",
            self.frames, parsers.whole, parsers.taken, self.seed
        );
        Ok(())
    }

    fn target(&self, name: &str, run: fn(&[u8])) -> Result<(), Box<dyn Error>> {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(self.seeds.join(name))?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        let seeds = paths.iter().map(std::fs::read).collect::<Result<Vec<_>, _>>()?;
        let next = |_: u64, input: &mut Vec<u8>, random: &mut Random| {
            input.clear();
            for _ in 0..=random.below(3) {
                input.extend_from_slice(&seeds[random.below(seeds.len())]);
                damage(input, random);
            }
        };
        let seconds = self.run(name, self.cases, next, |_, input| run(input))?;
        println!(
            "{{\"target\": \"{name}\", \"cases\": {}, \"seeds\": {}, \"seed\": {}, \"seconds\": {seconds:.1}}}",
            self.cases,
            seeds.len(),
            self.seed
        );
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    options.parsers()?;
    options.target("server", server::run)?;
    options.target("master_tcp", master_tcp::run)?;
    options.target("master_rtu", master_rtu::run)
}
