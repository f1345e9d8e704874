//! Splits the data that COPY TO STDOUT sends in text format into rows and values.

/// Splits COPY data into rows. The data arrives in pieces of any length.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// The first part of a row whose end has not arrived.
    part: Vec<u8>,
}

impl Rows {
    /// Takes the next piece of the data. Calls `each` with every row that is complete now. The line feed at the end of a row is left out.
    pub(crate) fn take<E>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (row, after) = rest.split_at(end);
            rest = &after[1..];
            if self.part.is_empty() {
                each(row)?;
            } else {
                self.part.extend_from_slice(row);
                each(&self.part)?;
                self.part.clear();
            }
        }
        self.part.extend_from_slice(rest);
        Ok(())
    }
}

/// Returns the unescaped values of a row; `None` stands for NULL.
pub(crate) fn values(row: &[u8]) -> Vec<Option<Vec<u8>>> {
    row.split(|byte| *byte == b'\t').map(value).collect()
}

fn value(field: &[u8]) -> Option<Vec<u8>> {
    if field == b"\\N" {
        return None;
    }
    let mut value = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(&byte) = bytes.next() {
        value.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 11,
                Some(&other) => other,
                None => b'\\',
            },
            byte => byte,
        });
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unescaped() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(
            values(b"a\\tb\t\\N\t\t\\\\N\tcaf\xc3\xa9\\n"),
            [some("a\tb"), None, some(""), some("\\N"), some("caf\u{e9}\n")]
        );
    }

    #[test]
    fn rows_may_arrive_in_any_pieces() {
        let text = b"1\tone\n2\ttwo\n\n3\tthree\n";
        for size in 1..text.len() {
            let (mut rows, mut seen) = (Rows::default(), Vec::new());
            for piece in text.chunks(size) {
                let taken = rows.take(piece, |row| {
                    seen.push(row.to_vec());
                    Ok::<_, ()>(())
                });
                assert_eq!(taken, Ok(()));
            }
            assert_eq!(seen, [&b"1\tone"[..], b"2\ttwo", b"", b"3\tthree"], "{size}");
        }
    }
}
