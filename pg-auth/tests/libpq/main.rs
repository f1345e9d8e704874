//! Connection strings, parsed by libpq and by this library: both must accept the same strings, and find the same values in them.

mod cases;
mod generate;
mod libpq;
#[cfg(unix)]
mod surroundings;
mod values;

use std::collections::BTreeMap;
use std::fs;

use fastrand::Rng;
use libpq::Answer;
use pg_auth::Config;
use pg_auth::config::Surroundings;
use pg_auth::error::ConfigError;
use values::Differences;

const STRINGS: usize = 5_000;

#[test]
fn this_library_reads_the_known_cases_as_expected() {
    for (string, accepted) in cases::CASES {
        assert_eq!(ours(string).is_ok(), *accepted, "{string:?}: {:?}", ours(string));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn libpq_18_reads_the_known_cases_as_expected() {
    let strings: Vec<_> = cases::CASES.iter().map(|(string, _)| String::from(*string)).collect();
    for ((string, accepted), answer) in cases::CASES.iter().zip(libpq::ask("PG18_LIBPQ", &strings)) {
        assert_eq!(answer.is_accepted(), *accepted, "{string:?}");
    }
}

/// Fails for every difference that is not deliberate. `values::REASONS` lists the deliberate differences.
#[test]
#[ignore = "needs servers: cargo xtask test"]
fn libpq_18_reads_generated_strings_as_we_do() {
    compare("PG18_LIBPQ", values::since_18);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn libpq_15_reads_generated_strings_as_we_do() {
    compare("PG15_LIBPQ", values::before_18);
}

/// Uses the inputs of the fuzz target `config`, because these inputs were chosen to reach all code of the parser.
#[test]
#[ignore = "needs servers: cargo xtask test"]
fn libpq_reads_the_corpus_of_the_fuzz_target_as_we_do() {
    let strings = corpus();
    assert!(!strings.is_empty(), "the corpus is empty");
    let libraries: [(_, Extra); 2] = [("PG18_LIBPQ", values::since_18), ("PG15_LIBPQ", values::before_18)];
    for (library, extra) in libraries {
        let tally = Tally::of(library, &strings, extra);
        println!("{library}, {} strings: {:#?}", strings.len(), tally.counts);
        tally.assert_equal(library);
    }
}

/// Returns the connection strings in the corpus. libpq takes a string up to its first NUL, so strings with a NUL are left out.
fn corpus() -> Vec<String> {
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/config")).expect("a corpus");
    let inputs = files.map(|file| fs::read(file.expect("an input").path()).expect("an input can be read"));
    inputs.filter_map(|input| String::from_utf8(input).ok()).filter(|string| !string.contains('\0')).collect()
}

/// `Surroundings` and libpq must find the same values in the environment, the service file and the password file.
#[cfg(unix)]
#[test]
#[ignore = "needs servers: cargo xtask test"]
fn libpq_18_reads_generated_surroundings_as_we_do() {
    let seed = seed();
    let mut rng = Rng::with_seed(seed);
    let dirs: Vec<_> = (0..1_000).map(|_| tempfile::tempdir().expect("a directory can be made")).collect();
    let strings: Vec<_> = dirs.iter().map(|dir| surroundings::string(&mut rng, dir.path())).collect();
    let mut tally = Tally::default();
    for ((string, variables), theirs) in strings.iter().zip(libpq::ask_in("PG18_LIBPQ", &strings)) {
        let empty = Surroundings::empty().user("nobody");
        let set = variables.iter().fold(empty, |set, (name, value)| set.variable(name, value));
        let ours = set.config(string).and_then(|found| found.config.check().map(|()| found.config));
        let files = ["PGSERVICEFILE", "PGPASSFILE"].map(|name| fs::read_to_string(variables.get(name)?).ok());
        tally.add(&format!("{string:?} in {variables:?} {files:?}"), &ours, &theirs, |_, _| None);
    }
    tally.finish(seed, strings.len());
}

/// The seed of the generator. To repeat a run, set the environment variable `SEED`.
fn seed() -> u64 {
    std::env::var("SEED").map_or(18, |seed| seed.parse().expect("a number"))
}

fn compare(library: &str, extra: Extra) {
    let seed = seed();
    let mut rng = Rng::with_seed(seed);
    let strings: Vec<_> = (0..STRINGS).map(|_| generate::string(&mut rng)).collect();
    Tally::of(library, &strings, extra).finish(seed, STRINGS);
}

/// A function that returns the reason for a difference from one version of libpq, or `None` if the difference is not deliberate.
type Extra = fn(&str, &Answer) -> Option<&'static str>;

/// The results of the comparison with libpq: the number of equal results, the number of each deliberate difference, and the list of all
/// other differences.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Tally {
    /// Compares how libpq and this library parse each string.
    fn of(library: &str, strings: &[String], extra: Extra) -> Self {
        let mut tally = Self::default();
        for (string, theirs) in strings.iter().zip(libpq::ask(library, strings)) {
            tally.add(string, &ours(string), &theirs, extra);
        }
        tally
    }

    fn add(&mut self, string: &str, ours: &Result<Config, ConfigError>, theirs: &Answer, extra: Extra) {
        let what = match values::compare(ours, theirs) {
            Differences::None if ours.is_ok() => "accepted by both",
            Differences::None => "refused by both",
            Differences::Chosen(reason) => reason,
            Differences::Wrong(difference) => match extra(string, theirs) {
                Some(reason) => reason,
                None => {
                    self.wrong.push(format!("{string}: {difference}\n  here {ours:?}\n  there {theirs:?}"));
                    return;
                }
            },
        };
        *self.counts.entry(what).or_default() += 1;
    }

    fn finish(self, seed: u64, strings: usize) {
        println!("seed {seed}, {strings} strings: {:#?}", self.counts);
        self.assert_equal(&format!("seed {seed}"));
        let Self { counts, .. } = self;
        // Many strings must be accepted, and many refused: with only invalid strings the test would compare no values.
        assert!(counts["accepted by both"] > strings / 5, "{counts:#?}");
        assert!(counts["refused by both"] > strings / 5, "{counts:#?}");
    }

    /// Fails if there is a difference that is not deliberate.
    fn assert_equal(&self, source: &str) {
        let wrong = &self.wrong;
        assert!(wrong.is_empty(), "{source}, {} are read differently:\n{}", wrong.len(), wrong.join("\n"));
    }
}

/// Parses a string and checks whether a connection could be tried. If the string has no user, adds a user for the check, because libpq
/// takes the name of the operating system's user.
fn ours(string: &str) -> Result<Config, ConfigError> {
    let config: Config = string.parse()?;
    let named = if config.user.is_empty() { config.clone().user("somebody") } else { config.clone() };
    named.check().map(|()| config)
}
