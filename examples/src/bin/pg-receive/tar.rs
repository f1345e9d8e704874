//! Reads and writes tar archives in the ustar format, as PostgreSQL does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Size of a block in bytes. Headers and contents are padded to whole blocks.
const BLOCK: usize = 512;

/// A file, directory or symbolic link in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Path of the entry: relative, and without `..`.
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file whose content has this number of bytes.
    File(u64),
    Directory,
    /// A symbolic link to this path.
    Link(PathBuf),
}

/// Receiver of the entries of an archive. A [`Reader`] calls the methods.
pub(crate) trait Sink {
    type Error: From<Malformed>;

    /// Called when an entry begins.
    fn begin(&mut self, entry: Entry) -> Result<(), Self::Error>;
    /// Called with each piece of the content of the file that began last.
    fn content(&mut self, piece: &[u8]) -> Result<(), Self::Error>;
    /// Called when the file that began last is complete.
    fn end(&mut self) -> Result<(), Self::Error>;
}

/// Reason why an archive is malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

/// Reads an archive that arrives in pieces.
#[derive(Debug)]
pub(crate) struct Reader {
    state: State,
}

#[derive(Debug)]
enum State {
    /// The reader collects the bytes of a header.
    Header(Vec<u8>),
    /// The reader receives the content of a file, and then the padding.
    Content {
        left: u64,
        padding: u64,
    },
    Padding(u64),
    /// The reader has received the block of zeros that ends an archive.
    End,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { state: State::Header(Vec::new()) }
    }

    /// Reads the next piece of the archive.
    pub(crate) fn read<S: Sink>(&mut self, mut piece: &[u8], sink: &mut S) -> Result<(), S::Error> {
        while !piece.is_empty() {
            match &mut self.state {
                State::Header(header) => {
                    header.extend_from_slice(take(&mut piece, (BLOCK - header.len()) as u64));
                    if let Ok(block) = <&[u8; BLOCK]>::try_from(&header[..]) {
                        self.state = match decode(block)? {
                            None => State::End,
                            Some(entry) => {
                                let size = if let Kind::File(size) = entry.kind { Some(size) } else { None };
                                sink.begin(entry)?;
                                match size {
                                    None => State::Header(Vec::new()),
                                    Some(0) => {
                                        sink.end()?;
                                        State::Header(Vec::new())
                                    }
                                    Some(left) => State::Content { left, padding: padding(left) },
                                }
                            }
                        };
                    }
                }
                State::Content { left, padding } => {
                    let content = take(&mut piece, *left);
                    *left -= content.len() as u64;
                    sink.content(content)?;
                    if *left == 0 {
                        sink.end()?;
                        self.state = State::Padding(*padding);
                    }
                }
                State::Padding(left) => *left -= take(&mut piece, *left).len() as u64,
                State::End => return Ok(()),
            }
            if matches!(self.state, State::Padding(0)) {
                self.state = State::Header(Vec::new());
            }
        }
        Ok(())
    }

    /// Checks that the archive does not end inside an entry.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        match self.state {
            State::End => Ok(()),
            State::Header(header) if header.is_empty() => Ok(()),
            _ => Err(Malformed("the archive ends inside an entry".into())),
        }
    }
}

/// Removes at most `most` bytes from the start of a piece, and returns them.
fn take<'p>(piece: &mut &'p [u8], most: u64) -> &'p [u8] {
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(piece.len());
    let (taken, rest) = piece.split_at(most);
    *piece = rest;
    taken
}

/// Returns the number of padding bytes that follow content of this size, up to a whole block.
pub(crate) fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

/// Decodes a header. Returns `None` for a block of zeros, which ends the archive.
fn decode(block: &[u8; BLOCK]) -> Result<Option<Entry>, Malformed> {
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let bad = |reason: &str| Malformed(format!("malformed header in the archive: {reason}"));
    let field = |at: usize, length: usize| block.get(at..at + length).unwrap_or_default();
    if number(field(148, 8)) != Some(checksum(block)) {
        return Err(bad("wrong checksum"));
    }
    let mut path = text(field(0, 100)).to_vec();
    // If a path is longer than the field `name`, its first part is in the field `prefix`.
    let prefix = text(field(345, 155));
    if field(257, 5) == b"ustar" && !prefix.is_empty() {
        path = [prefix, b"/", &path].concat();
    }
    let path = inside(Path::new(OsStr::from_bytes(&path)))?;
    let mode = number(field(100, 8))
        .and_then(|mode| u32::try_from(mode).ok())
        .ok_or_else(|| bad("the mode is not a number"))?;
    let size = number(field(124, 12)).ok_or_else(|| bad("the size is not a number"))?;
    let kind = match field(156, 1) {
        b"0" | b"\0" => Kind::File(size),
        b"5" if size == 0 => Kind::Directory,
        b"2" if size == 0 => Kind::Link(PathBuf::from(OsStr::from_bytes(text(field(157, 100))))),
        other => {
            return Err(bad(&format!("an entry of type \"{}\" with {size} bytes", other.escape_ascii())));
        }
    };
    Ok(Some(Entry { path, mode, kind }))
}

/// Checks that a path does not lead out of the directory into which the archive is unpacked. Removes `.` from the path.
fn inside(path: &Path) -> Result<PathBuf, Malformed> {
    let mut checked = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => checked.push(name),
            Component::CurDir => {}
            _ => {
                checked.clear();
                break;
            }
        }
    }
    match checked.as_os_str().is_empty() {
        true => Err(Malformed(format!("the archive has a path that is not allowed: \"{}\"", path.display()))),
        false => Ok(checked),
    }
}

/// Returns the text of a field up to its first NUL. Without a NUL, returns the whole field.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Parses a number field. The number is written in octal digits or, if it is too large for the field, in binary form after a byte 0x80.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, binary @ ..] = field {
        return binary.iter().try_fold(0_u64, |sum, byte| Some(sum.checked_mul(256)? + u64::from(*byte)));
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(digits.len());
    let digits = std::str::from_utf8(digits.get(..end)?).ok()?;
    if digits.starts_with('+') { None } else { u64::from_str_radix(digits, 8).ok() }
}

/// Returns the sum of all bytes of a header. The bytes of the field `checksum` count as spaces.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let is_own = |at: &usize| (148..156).contains(at);
    block.iter().enumerate().map(|(at, byte)| u64::from(if is_own(&at) { b' ' } else { *byte })).sum()
}

/// Encodes the header of a file. Precondition: the name has at most 99 bytes.
pub(crate) fn header(name: &str, mode: u32, size: u64, modified: u64) -> Vec<u8> {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| {
        block.iter_mut().skip(at).zip(text.bytes()).for_each(|(byte, new)| *byte = new);
    };
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, &format!("{modified:011o}"));
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum = checksum(&block);
    format!("{sum:06o}\0 ").bytes().zip(block.iter_mut().skip(148)).for_each(|(new, byte)| *byte = new);
    block.to_vec()
}

/// The end of an archive: two blocks of zeros.
pub(crate) const TRAILER: &[u8] = &[0; 2 * BLOCK];

#[cfg(test)]
mod tests {
    use super::*;

    /// A sink that writes each entry and its content as text.
    #[derive(Default)]
    struct Printer(String, Vec<u8>);

    impl Sink for Printer {
        type Error = Malformed;

        fn begin(&mut self, entry: Entry) -> Result<(), Malformed> {
            self.0 += &format!("{} {:o} {:?};", entry.path.display(), entry.mode, entry.kind);
            Ok(())
        }
        fn content(&mut self, piece: &[u8]) -> Result<(), Malformed> {
            self.1.extend_from_slice(piece);
            Ok(())
        }
        fn end(&mut self) -> Result<(), Malformed> {
            self.0 += &format!(" {};", String::from_utf8_lossy(&std::mem::take(&mut self.1)));
            Ok(())
        }
    }

    fn printed(archive: &[u8], piece: usize) -> Result<String, Malformed> {
        let (mut reader, mut printer) = (Reader::new(), Printer::default());
        for piece in archive.chunks(piece) {
            reader.read(piece, &mut printer)?;
        }
        reader.finish().map(|()| printer.0)
    }

    /// Returns a copy of the header, with `bytes` written at the offset `at` and with the new checksum.
    fn changed(header: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut block: [u8; BLOCK] = header.try_into().expect("a block");
        block[at..at + bytes.len()].copy_from_slice(bytes);
        let sum = checksum(&block);
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block.to_vec()
    }

    fn archive() -> Vec<u8> {
        let directory = changed(&header("base/", 0o700, 0, 1), 156, b"5");
        let link = changed(&changed(&header("pg_tblspc/16384", 0o777, 0, 1), 156, b"2"), 157, b"/srv/t");
        let (file, content) = (header("base/1", 0o600, 3, 1), [&b"abc"[..], &[0; 509]].concat());
        let empty = header("./base/2", 0o640, 0, 1);
        let whole = [header("w", 0o600, 512, 1), vec![b'w'; 512]].concat();
        [directory, link, file, content, empty, whole, TRAILER.to_vec(), vec![0; 3]].concat()
    }

    #[test]
    fn an_archive_is_read_in_pieces_of_any_size() {
        let expected = format!(
            "base 700 Directory;pg_tblspc/16384 777 Link(\"/srv/t\");base/1 600 File(3); abc;base/2 640 File(0); ;w 600 File(512); {};",
            "w".repeat(512)
        );
        for piece in [1, 7, 511, 512, 513, 100_000] {
            assert_eq!(
                printed(&archive(), piece).as_deref(),
                Ok(expected.as_str()),
                "pieces of {piece} bytes"
            );
        }
    }

    #[test]
    fn an_archive_that_ends_inside_an_entry_is_rejected() {
        // Offsets at which an entry ends. An archive may end at these offsets, or anywhere after its first block of zeros.
        let ends = [0, 512, 1024, 2048, 2560, 3584];
        let archive = archive();
        for end in 0..archive.len() {
            let read = printed(&archive[..end], 4096);
            assert_eq!(read.is_ok(), ends.contains(&end) || end >= 4096, "{end} bytes");
        }
    }

    #[test]
    fn a_path_out_of_the_directory_is_rejected() {
        for path in ["/etc/passwd", "../x", "base/../../x", "..", ".", "", "./", "/"] {
            let read = printed(&header(path, 0o600, 0, 1), 512);
            assert!(read.as_ref().is_err_and(|error| error.0.contains("not allowed")), "{path:?}: {read:?}");
        }
    }

    #[test]
    fn a_malformed_header_is_rejected() {
        let good = header("base/1", 0o600, 0, 1);
        for at in 0..BLOCK {
            let mut bad = good.clone();
            bad[at] ^= 1;
            // Byte 155 has no meaning, because it is after the NUL of the checksum. So a change of this byte need not cause an error.
            let result = printed(&bad, 512);
            assert!(result.is_err() || at == 155, "byte {at}: {result:?}");
        }
        for (at, bytes) in
            [(156, &b"1"[..]), (156, b"L"), (124, b"9"), (124, b"+"), (100, b"x"), (124, &[0x80, 0xff])]
        {
            assert!(printed(&changed(&good, at, bytes), 512).is_err(), "{at}: {bytes:?}");
        }
        let with_content = changed(&header("base/", 0o700, 5, 1), 156, b"5");
        assert!(printed(&with_content, 512).is_err(), "a directory with content");
    }

    #[test]
    fn a_size_of_more_than_8_gigabytes_is_read() {
        let mut size = [0; 12];
        size[0] = 0x80;
        size[4..].copy_from_slice(&(9_u64 << 30).to_be_bytes());
        let mut printer = Printer::default();
        let read = Reader::new().read(&changed(&header("big", 0o600, 0, 1), 124, &size), &mut printer);
        assert_eq!((read, printer.0.as_str()), (Ok(()), "big 600 File(9663676416);"));
    }

    #[test]
    fn a_path_in_two_parts_is_read() {
        let long = changed(&header("name", 0o600, 0, 1), 345, b"a/directory");
        assert_eq!(printed(&long, 512).as_deref(), Ok("a/directory/name 600 File(0); ;"));
    }
}
