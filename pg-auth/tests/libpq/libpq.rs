//! Lets libpq parse connection strings, through Python's `ctypes`.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

/// The result of parsing a string with libpq.
#[derive(Debug)]
pub(crate) enum Answer {
    /// libpq cannot parse the string.
    Malformed,
    /// libpq can parse the string.
    Read {
        /// Whether libpq would try to connect.
        accepted: bool,
        /// Name and value of each parameter that the string sets.
        values: BTreeMap<String, Vec<u8>>,
    },
}

impl Answer {
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self, Self::Read { accepted: true, .. })
    }

    /// Returns the value of a parameter, which is empty if the string does not set the parameter.
    pub(crate) fn value(&self, name: &str) -> &[u8] {
        self.given(name).unwrap_or_default()
    }

    pub(crate) fn given(&self, name: &str) -> Option<&[u8]> {
        match self {
            Self::Malformed => None,
            Self::Read { values, .. } => values.get(name).map(Vec::as_slice),
        }
    }
}

/// Lets libpq parse the strings, in a process without settings in environment variables and files. `library` is the name of the environment
/// variable with the path of libpq.
pub(crate) fn ask(library: &str, strings: &[String]) -> Vec<Answer> {
    let lines = strings.iter().map(|string| hex(string.as_bytes()) + "\n").collect();
    let answers = run(library, &[], lines);
    assert_eq!(answers.len(), strings.len());
    answers
}

/// Lets libpq start a connection with each string and with the string's environment variables. The host in each string must be the path of
/// a socket that does not exist, so that libpq connects to no server.
#[cfg(unix)]
pub(crate) fn ask_in(library: &str, strings: &[(String, BTreeMap<String, String>)]) -> Vec<Answer> {
    let line = |(string, variables): &(String, BTreeMap<String, String>)| {
        let variables = variables.iter().map(|(name, value)| format!(" {name}={}", hex(value.as_bytes())));
        hex(string.as_bytes()) + &variables.collect::<String>() + "\n"
    };
    let answers = run(library, &["surroundings"], strings.iter().map(line).collect());
    assert_eq!(answers.len(), strings.len());
    answers
}

fn run(library: &str, mode: &[&str], lines: String) -> Vec<Answer> {
    let path = std::env::var(library)
        .unwrap_or_else(|_| panic!("{library} names no libpq: cargo xtask test sets it"));
    let mut python = Command::new("python3")
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/libpq/ask.py"), &path])
        .args(mode)
        .env_clear()
        .envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/nonexistent"), ("LC_ALL", "C.UTF-8")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 can be started");
    let mut stdin = python.stdin.take().expect("a pipe");
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = python.wait_with_output().expect("the program ends");
    writer.join().expect("the thread does not panic").expect("all strings can be written");
    assert!(output.status.success(), "python3 with {path}: {}", output.status);
    String::from_utf8(output.stdout).expect("the text is ASCII").lines().map(answer).collect()
}

fn answer(line: &str) -> Answer {
    let mut words = line.split('\t');
    let accepted = match words.next() {
        Some("malformed") => return Answer::Malformed,
        Some("accepted") => true,
        Some("refused") => false,
        other => panic!("{other:?} is no answer"),
    };
    let pair = |word: &str| {
        let (name, value) = word.split_once('=').expect("a name and a value");
        (name.to_owned(), unhex(value))
    };
    Answer::Read { accepted, values: words.map(pair).collect() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("the text is ASCII"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("two digits")).collect()
}
