//! The tests that replay the corpora: each target is called with each input of its corpus. The fuzz crates of pg-wire and of pg-auth share
//! this file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Directory of the fuzz crate for which this file is compiled.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Declares a test for each target of a crate. The test has the name of the target.
macro_rules! targets {
    ($crate_name:ident: $($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay::replay(stringify!($name), $crate_name::$name);
        })*

        #[test]
        fn every_target_has_a_test() {
            replay::compare(&[$(stringify!($name)),*]);
        }
    };
}

/// Calls the target with each input of its corpus, and prints the number of inputs.
pub(crate) fn replay(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(ROOT).join("corpus").join(name);
    let mut inputs = 0;
    for entry in fs::read_dir(&corpus).expect("the target has a corpus") {
        let file = entry.expect("an input").path();
        let data = fs::read(&file).expect("an input can be read");
        // The test harness shows this line only if the target panics.
        eprintln!("{}", file.display());
        target(&data);
        inputs += 1;
    }
    println!("{name}: {inputs} inputs");
    assert!(inputs > 0, "the corpus of {name} is empty");
}

/// Checks that each file in `fuzz_targets` has a test, and that each test has a file.
pub(crate) fn compare(tested: &[&str]) {
    let files = fs::read_dir(Path::new(ROOT).join("fuzz_targets")).expect("the targets");
    let names = files.map(|entry| entry.expect("a file").path().file_stem().expect("a name").to_owned());
    let tested: BTreeSet<_> = tested.iter().map(Into::into).collect();
    assert_eq!(names.collect::<BTreeSet<_>>(), tested);
}
