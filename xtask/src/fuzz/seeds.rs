//! Seeds of the fuzz targets: inputs made from the literals in the tests of the crates, and conversations that reach each outcome of a
//! login.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use syn::Lit;

use crate::paths;

/// Writes the seeds of the target to files in `directory`.
pub(super) fn write(target: &str, directory: &Path) -> Result<()> {
    for (number, seed) in seeds(target)?.iter().enumerate() {
        fs::write(directory.join(format!("{number:04}")), seed)?;
    }
    Ok(())
}

/// Returns the seeds of a target. The documentation of the target's function, in the fuzz crate, describes the format of an input.
fn seeds(target: &str) -> Result<Vec<Vec<u8>>> {
    let message = "pg-wire/src/message";
    Ok(match target {
        "backend" => {
            bytes(&format!("{message}/backend"))?.iter().filter_map(|frame| unframed(frame)).collect()
        }
        "frontend" => {
            bytes(&format!("{message}/frontend"))?.iter().filter_map(|frame| unframed(frame)).collect()
        }
        "frames" => {
            bytes(message)?.iter().map(|frame| [&[0, 255, 3, 30, 255], &frame[..]].concat()).collect()
        }
        "rewrite" => {
            let frames = bytes(message)?;
            let frames = frames.iter().filter_map(|frame| unframed(frame));
            frames.flat_map(|frame| [0, 1].map(|side| [&[side, 0, 1, b'x'], &frame[..]].concat())).collect()
        }
        "values" => {
            let (binary, texts) = (bytes("pg-wire/src/value")?, texts("pg-wire/src/value/convert")?);
            let binary = binary.iter().zip((0..=u8::MAX).cycle());
            let binary = binary.map(|(value, number)| [&[number % 70, number % 38], &value[..]].concat());
            let texts = texts.iter().zip((0..=u8::MAX).cycle());
            let texts = texts.map(|(text, number)| [&[70, 0b1100_0000 | number], text.as_bytes()].concat());
            binary.chain(texts).collect()
        }
        "copy_rows" => {
            let data = bytes("pg-wire/tests/copy.rs")?;
            data.iter()
                .flat_map(|data| [0, 1, 2].map(|format| [&[format, 0, 0, 9], &data[..]].concat()))
                .collect()
        }
        "pgoutput" => pgoutput()?,
        "transcript" => {
            let files = ["pg-wire/tests/transcripts.rs", "pg-wire/src/testing", "examples/tests", message];
            let texts = files.iter().map(|file| texts(file)).collect::<Result<Vec<_>>>()?;
            let is_transcript = |text: &String| {
                let start = text.trim_start();
                ["F ", "B ", "F\t", "B\t"].iter().any(|side| start.starts_with(side))
            };
            texts.concat().into_iter().filter(is_transcript).map(String::into_bytes).collect()
        }
        "config" => {
            let files =
                ["pg-auth/tests/libpq/cases.rs", "pg-auth/tests/connection_strings.rs", "pg-auth/src/config"];
            let texts = files.iter().map(|file| texts(file)).collect::<Result<Vec<_>>>()?.concat();
            let strings = texts.into_iter().filter(|text| text.contains('=') || text.starts_with("postgres"));
            let marked =
                ["password=\u{1} user=a", "password='\u{1}' port=x", "postgres://a:\u{1}@h/d?sslmode=x"];
            strings.chain(marked.map(String::from)).map(String::into_bytes).collect()
        }
        "certificate" => fs::read_dir(paths::root().join("pg-auth/tests/certificates"))?
            .map(|entry| Ok(fs::read(entry?.path())?))
            .collect::<Result<_>>()?,
        "first_packet" => {
            let packets = bytes(&format!("{message}/frontend/initial.rs"))?;
            packets.iter().map(|packet| [&[0, 255], &packet[..]].concat()).collect()
        }
        "scram" => texts("pg-auth/src/scram")?
            .iter()
            .chain(&texts("pg-auth/tests")?)
            .filter_map(|text| scram(text))
            .collect(),
        "client_machine" => CLIENT.iter().map(|actions| actions.to_vec()).collect(),
        "server_machine" => SERVER.iter().map(|actions| actions.to_vec()).collect(),
        "session" => SESSION.iter().map(|actions| actions.to_vec()).collect(),
        target => bail!("{target} has no seeds: add a row to xtask/src/fuzz/seeds.rs"),
    })
}

/// Logins of a client, one for each method. Each login is five bytes of settings, then one byte for each action of the server.
const CLIENT: &[&[u8]] = &[
    &[0, 0, 0, 2, 0, 2, 13, 14, 15],
    &[0, 0, 0, 2, 0, 3, 2, 15],
    &[0, 0, 0, 2, 0, 4, 2, 15],
    &[0, 1, 0, 2, 0, 5, 8, 9, 2, 13, 15],
    &[1, 2, 0, 10, 0, 6, 8, 9, 2, 15],
    &[0, 2, 0, 2, 3, 7, 2, 15],
    &[0, 2, 0, 2, 3, 7, 12, 2, b'{', b'}'],
    &[10, 0, 0, 2, 0, 10, 11, 1, b'a', 11, 1, b'b', 2, 15],
];

/// Logins at a server, at least one for each method. Each login has the settings, the method, and then the actions of the client.
const SERVER: &[&[u8]] = &[
    &[0, 0, 4, 5, 2],
    &[0, 1, 2, 8],
    &[0, 2, 3, 8],
    &[0, 3, 2, 9],
    &[0, 4, 2, 10, 11],
    &[0, 5, 2, 12],
    &[0, 6, 2, 15, 1, b'a', 14],
    &[0, 7, 2, 8],
    &[1, 8, 2],
    &[0, 0, 6],
];

/// Conversations of a session: the settings, then actions. The two lowest bits of an action select the step:
///
/// - 0 or 1: the client sends the request whose number is in the other bits.
/// - 2: the server executes a request. The numbers that select the replies follow.
/// - 3: the client receives a reply.
///
/// The last conversation is a sequence of arbitrary messages.
const SESSION: &[&[u8]] = &[
    &[0, 0, 2, 0, 3, 2, 2, 0, 3, 3, 3, 3, 3, 3],
    &[0, 8, 12, 24, 32, 2, 0, 2, 0, 2, 0, 0, 1, 2, 0, 0, 3, 3, 3, 3, 3],
    &[0, 24, 32, 2, 0, 6, 3, 40, 48, 32, 2, 0, 2, 3, 3, 2, 0, 0, 3],
    &[0, 0, 32, 2, 0, 5, 2, 44, 2, 1, 0, 0, 3, 3, 3, 3],
    &[0, 8, 4, 32, 2, 7, 2, 2, 0, 0, 3, 3, 3],
    &[6, 8, 12, 16, 20],
    &[1, 0, 81, 1, 90, 3, 90, 73],
];

/// The seeds of the target `pgoutput`. Each replication message in the tests gives five seeds, one for each decoder of the target. The
/// other seeds are recorded sequences of pgoutput messages. The first byte of a seed is the number of the decoder (0 to 4), or 5 for a
/// sequence.
fn pgoutput() -> Result<Vec<Vec<u8>>> {
    let messages = bytes("pg-wire/src/replication")?;
    let kinds = messages.iter().flat_map(|data| (0..5).map(move |kind| [&[kind], &data[..]].concat()));
    let mut seeds: Vec<Vec<u8>> = kinds.collect();
    for version in [15, 18] {
        let text =
            fs::read_to_string(paths::root().join(format!("pg-wire/tests/golden/pgoutput-{version}.hex")))?;
        // libFuzzer limits the length of an input, so a recorded sequence is split into several seeds of 12 messages.
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        for lines in lines.chunks(12) {
            let mut seed = vec![5];
            for line in lines {
                let data =
                    unhex(line).with_context(|| format!("a line of pgoutput-{version}.hex: {line}"))?;
                seed.extend(u16::try_from(data.len())?.to_be_bytes());
                seed.extend(data);
            }
            seeds.push(seed);
        }
    }
    Ok(seeds)
}

fn unhex(line: &str) -> Option<Vec<u8>> {
    line.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The seed for a SCRAM message: the number of the message's kind, then the text. Returns `None` if the text is not a SCRAM message.
fn scram(text: &str) -> Option<Vec<u8>> {
    let kinds = [("r=", 0), ("v=", 1), ("n,", 2), ("y,", 2), ("p=tls", 2), ("c=", 3), ("SCRAM-SHA-256$", 4)];
    let (_, kind) = kinds.into_iter().find(|(start, _)| text.starts_with(start))?;
    Some([&[kind], text.as_bytes()].concat())
}

/// Converts a frame to an input: the code, then the body. A packet without a code gets the code 0. Returns `None` if the bytes are neither
/// a frame nor a packet.
fn unframed(bytes: &[u8]) -> Option<Vec<u8>> {
    let (code, rest) = if bytes.first() == Some(&0) { (&0, bytes) } else { bytes.split_first()? };
    let (length, body) = rest.split_first_chunk()?;
    let is_whole = u32::from_be_bytes(*length) as usize == rest.len();
    is_whole.then(|| [&[*code], body].concat())
}

/// All byte strings in a file, or in the files of a folder.
fn bytes(path: &str) -> Result<Vec<Vec<u8>>> {
    let literals = literals(path)?.into_iter();
    Ok(literals
        .filter_map(|lit| if let Lit::ByteStr(bytes) = lit { Some(bytes.value()) } else { None })
        .collect())
}

/// All strings in a file, or in the files of a folder.
fn texts(path: &str) -> Result<Vec<String>> {
    let literals = literals(path)?.into_iter();
    Ok(literals.filter_map(|lit| if let Lit::Str(text) = lit { Some(text.value()) } else { None }).collect())
}

fn literals(path: &str) -> Result<Vec<Lit>> {
    let mut found = Vec::new();
    collect(&paths::root().join(path), &mut found)?;
    Ok(found)
}

/// Adds the literals of a Rust file to `found`. If `path` is a folder, adds the literals of all Rust files in the folder.
fn collect(path: &Path, found: &mut Vec<Lit>) -> Result<()> {
    if path.is_dir() {
        let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| collect(entry, found));
    }
    if path.extension().is_some_and(|extension| extension == "rs") {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let tokens = text.parse().map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        walk(tokens, found);
    }
    Ok(())
}

fn walk(tokens: TokenStream, found: &mut Vec<Lit>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => walk(group.stream(), found),
            TokenTree::Literal(literal) => found.push(Lit::new(literal)),
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{seeds, unframed};

    #[test]
    fn every_target_has_seeds() {
        for target in crate::fuzz::selected(None).expect("the targets") {
            let seeds = seeds(&target.name).expect("the sources can be read");
            assert!(!seeds.is_empty(), "{}", target.name);
        }
    }

    #[test]
    fn a_frame_without_its_length_is_a_seed_and_other_bytes_are_not() {
        assert_eq!(unframed(b"Z\0\0\0\x05I").as_deref(), Some(&b"ZI"[..]));
        assert_eq!(unframed(b"\0\0\0\x08\x04\xd2\x16\x2f").as_deref(), Some(&b"\0\x04\xd2\x16\x2f"[..]));
        assert_eq!(unframed(b"Z\0\0\0\x06I"), None);
        assert_eq!(unframed(b"Z"), None);
    }
}
