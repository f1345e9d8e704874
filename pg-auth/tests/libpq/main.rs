//! Connection strings, read by libpq and by this library: both have to take the same ones and to read the same values in them.

mod cases;
mod generate;
mod libpq;
mod values;

use std::collections::BTreeMap;

use fastrand::Rng;
use libpq::Answer;
use pg_auth::Config;
use pg_auth::error::ConfigError;
use values::Differences;

const STRINGS: usize = 5_000;

#[test]
fn what_is_known_of_libpq_holds_here() {
    for (string, accepted) in cases::CASES {
        assert_eq!(ours(string).is_ok(), *accepted, "{string:?}: {:?}", ours(string));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn what_is_known_of_libpq_holds_there() {
    let strings: Vec<_> = cases::CASES.iter().map(|(string, _)| String::from(*string)).collect();
    for ((string, accepted), answer) in cases::CASES.iter().zip(libpq::ask("PG18_LIBPQ", &strings)) {
        assert_eq!(answer.is_accepted(), *accepted, "{string:?}");
    }
}

/// Every difference is one that was chosen: see `values::REASONS`.
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

/// `SEED` in the environment repeats a run.
fn compare(library: &str, extra: fn(&str, &Answer) -> Option<&'static str>) {
    let seed = std::env::var("SEED").map_or(18, |seed| seed.parse().expect("a number"));
    let mut rng = Rng::with_seed(seed);
    let strings: Vec<_> = (0..STRINGS).map(|_| generate::string(&mut rng)).collect();
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut wrong = Vec::new();
    for (string, theirs) in strings.iter().zip(libpq::ask(library, &strings)) {
        let ours = ours(string);
        let what = match values::compare(&ours, &theirs) {
            Differences::None if ours.is_ok() => "accepted by both",
            Differences::None => "refused by both",
            Differences::Chosen(reason) => reason,
            Differences::Wrong(_) if extra(string, &theirs).is_some() => {
                extra(string, &theirs).unwrap_or_default()
            }
            Differences::Wrong(difference) => {
                wrong.push(format!("{string:?}: {difference}\n  here {ours:?}\n  there {theirs:?}"));
                continue;
            }
        };
        *counts.entry(what).or_default() += 1;
    }
    println!("seed {seed}, {STRINGS} strings: {counts:#?}");
    assert!(
        wrong.is_empty(),
        "seed {seed}, {} strings are read differently:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // A generator that makes nothing but nonsense would find no difference.
    assert!(counts["accepted by both"] > STRINGS / 5, "{counts:#?}");
    assert!(counts["refused by both"] > STRINGS / 5, "{counts:#?}");
}

/// Whether a connection could be made, as libpq decides it: with the operating system's user where none is given.
fn ours(string: &str) -> Result<Config, ConfigError> {
    let config: Config = string.parse()?;
    let named = if config.user.is_empty() { config.clone().user("somebody") } else { config.clone() };
    named.check().map(|()| config)
}
