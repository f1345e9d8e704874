use pg_wire::copy::{
    CopyError, CopyErrorKind, CopyOptions, CopyReader, CopyWriter, ForceColumns, Header, RowFormat,
};

use crate::input::Input;

type Row = Vec<Option<Vec<u8>>>;

/// Reads arbitrary data of a COPY, as a whole and in pieces, and compares the results. Then writes the rows, and reads the written data.
pub fn copy_rows(data: &[u8]) {
    let mut input = Input::new(data);
    let options = options(&mut input);
    let columns =
        Some(input.byte()).filter(|columns| *columns & 1 == 1).map(|columns| usize::from(columns >> 1));
    let limit = Some(input.byte()).filter(|limit| *limit > 0).map(usize::from);
    let piece = usize::from(input.byte()) + 1;
    let data = input.rest();
    let reader = || {
        let reader = CopyReader::new(&options)?;
        let reader = columns.iter().fold(reader, |reader, columns| reader.columns(*columns));
        Ok::<_, CopyError>(limit.iter().fold(reader, |reader, limit| reader.limit(*limit)))
    };
    if options.check().is_err() {
        assert!(reader().is_err() && CopyWriter::new(&options).is_err());
        return;
    }
    let Ok(mut whole) = reader() else { return };
    let (rows, error) = read(&mut whole, [data]);
    let (in_pieces, other) = read(&mut reader().expect("the options are valid"), data.chunks(piece));
    let is_too_long = |error: &Option<CopyError>| {
        error.as_ref().is_some_and(|error| matches!(error.kind(), CopyErrorKind::RowTooLong { .. }))
    };
    assert_eq!(rows, in_pieces);
    // A row can be too long and also malformed. If the row arrives in pieces, the reader may return `RowTooLong` before it reads the
    // malformed bytes. So if only one of the two errors is `RowTooLong`, this error must come from the read in pieces.
    if is_too_long(&error) == is_too_long(&other) {
        assert_eq!(shown(&error), shown(&other));
    } else {
        assert!(error.is_some() && is_too_long(&other), "{error:?} {other:?}");
    }
    assert_eq!(whole.rows(), rows.len() as u64);
    if let (Some(limit), true) = (limit, options.format() == RowFormat::Binary) {
        assert!(rows.iter().flatten().flatten().all(|field| field.len() <= limit));
    }
    write(&options, &rows);
}

/// Reads the options of a COPY from the input. About half of the inputs have the default options of a format.
fn options(input: &mut Input<'_>) -> CopyOptions {
    let settings = input.byte();
    let options = match settings & 3 {
        0 | 3 => CopyOptions::text(),
        1 => CopyOptions::csv(),
        _ => CopyOptions::binary(),
    };
    if settings & 4 == 0 {
        return options;
    }
    let other = input.byte();
    let options = if other & 1 == 0 { options } else { options.delimiter(input.byte()) };
    let options = if other & 2 == 0 { options } else { options.quote(input.byte()) };
    let options = if other & 4 == 0 { options } else { options.escape(input.byte()) };
    let options = if other & 8 == 0 { options } else { options.header(Header::Present) };
    let options = if other & 16 == 0 { options } else { options.force_quote(ForceColumns::All) };
    let options = options.csv_end_marker(other & 32 != 0);
    let has_default = other & 128 != 0 && options.format() != RowFormat::Binary;
    let options = if has_default { options.default_string("\\D") } else { options };
    if other & 64 == 0 {
        return options;
    }
    let length = input.byte() & 7;
    match str::from_utf8(input.bytes(length.into())) {
        Ok(null) => options.null(null),
        Err(_) => options,
    }
}

/// Reads data in pieces. Returns the rows before the first error, and this error.
fn read<'d>(
    reader: &mut CopyReader,
    pieces: impl IntoIterator<Item = &'d [u8]>,
) -> (Vec<Row>, Option<CopyError>) {
    let mut rows = Vec::new();
    let mut push = |row: pg_wire::copy::CopyRow<'_>| {
        assert_eq!(row.number(), rows.len() as u64 + 1);
        let fields: Row = row.iter().map(|field| field.map(<[u8]>::to_vec)).collect();
        for (index, field) in fields.iter().enumerate() {
            assert_eq!(row.bytes(index), field.as_deref());
        }
        assert_eq!((row.len(), row.bytes(fields.len())), (fields.len(), None));
        rows.push(fields);
    };
    for mut piece in pieces {
        loop {
            match reader.row(&mut piece) {
                Ok(Some(row)) => push(row),
                Ok(None) => break,
                Err(error) => {
                    let again = reader.row(&mut piece).map(drop).err();
                    // After an error, a call with further data returns `AfterError`. A call without data returns no error.
                    assert!(again.is_none_or(|again| matches!(again.kind(), CopyErrorKind::AfterError)));
                    return (rows, Some(error));
                }
            }
        }
        assert!(piece.is_empty(), "the reader has taken the piece");
    }
    match reader.finish() {
        Ok(Some(row)) => push(row),
        Ok(None) => {}
        Err(error) => return (rows, Some(error)),
    }
    (rows, None)
}

fn shown(error: &Option<CopyError>) -> Option<String> {
    error.as_ref().map(|error| format!("{error} {error:?}"))
}

/// Writes the rows, and reads the written data. The rows that are read must be equal to the rows that were written.
fn write(options: &CopyOptions, rows: &[Row]) {
    let Some(columns) = rows.first().map(Vec::len) else { return };
    let rows: Vec<_> = rows.iter().take_while(|row| row.len() == columns).cloned().collect();
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let mut writer = CopyWriter::with_names(options, &names).expect("the options are valid");
    for row in &rows {
        let before = writer.data().len();
        let written = if options.format() == RowFormat::Binary {
            let values: Vec<_> = row.iter().map(Option::as_deref).collect();
            writer.row(&values[..])
        } else {
            // A row that was read may have bytes that are not UTF-8. Such a row cannot be written as text, so the check ends here.
            let texts: Result<Vec<_>, _> =
                row.iter().map(|field| field.as_deref().map(str::from_utf8).transpose()).collect();
            let Ok(texts) = texts else { return };
            writer.row(&texts[..])
        };
        match written {
            Ok(()) => {}
            // If the NULL string of the COPY is empty, the writer cannot write an empty string (`EmptyIsNull`). But the reader can return
            // an empty string: it reads a single backslash at the end of the data as an empty string.
            Err(error) if matches!(error.kind(), CopyErrorKind::Nul | CopyErrorKind::EmptyIsNull) => {
                assert_eq!(writer.data().len(), before, "a row that is not written leaves no bytes");
                return;
            }
            Err(error) => panic!("a row that was read cannot be written: {error}"),
        }
    }
    writer.finish().expect("the rows are written");
    let data = writer.data();
    let mut reader = CopyReader::with_names(options, &names).expect("the options are valid");
    let (back, error) = read(&mut reader, [data]);
    assert_eq!((&back, shown(&error)), (&rows, None), "{:?}", data.escape_ascii().to_string());
    if options.format() == RowFormat::Binary && columns == 2 {
        decode(options, data, &rows);
    }
}

/// Reads data in binary format as tuples of two columns, and compares the tuples with `rows`.
fn decode(options: &CopyOptions, mut data: &[u8], rows: &[Row]) {
    let mut reader = CopyReader::new(options).expect("the options are valid");
    for row in rows {
        let pair = reader.decode::<(Option<&[u8]>, Option<&[u8]>)>(&mut data).expect("well-formed");
        assert_eq!(pair, Some((row[0].as_deref(), row[1].as_deref())));
    }
    assert_eq!(reader.decode::<(Option<&[u8]>, Option<&[u8]>)>(&mut data).expect("the trailer"), None);
}
