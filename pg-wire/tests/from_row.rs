//! Tests of the derive macro `FromRow`, and of reading rows as structs.

use pg_wire::backend::{DataRow, FieldDescription, RowDescription};
use pg_wire::codec::{List, Values};
use pg_wire::value::{Columns, FromRow};
use pg_wire::{Encode, FormatCode, Inbox, Limits, Oid, oid};

#[derive(FromRow, Debug, PartialEq)]
struct User<'a> {
    id: i32,
    name: &'a str,
    r#type: Option<String>,
}

#[derive(FromRow, Debug, PartialEq)]
struct Pair(i32, String);

#[derive(FromRow, Debug, PartialEq)]
#[from_row(by_position)]
struct Position {
    first: i32,
    second: String,
}

fn columns(fields: &[(&str, Oid)]) -> Columns {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, type_oid)| FieldDescription {
            name: (*name).into(),
            type_oid: *type_oid,
            format: FormatCode::Text,
            ..Default::default()
        })
        .collect();
    Columns::of_portal(&RowDescription { fields: List::from(fields.as_slice()) })
}

/// Calls `see` twice with the same row: first as a slice of values, then as received bytes.
fn both_forms(values: &[Option<&[u8]>], mut see: impl FnMut(&DataRow<'_>)) {
    let row = DataRow { values: Values::from(values) };
    see(&row);
    let mut bytes = Vec::new();
    row.encode(&mut bytes).expect("the row is valid");
    let mut inbox = Inbox::new(Limits::BACKEND);
    inbox.extend(&bytes);
    let frame = inbox.next().expect("the frame is valid").expect("a whole frame");
    let pg_wire::backend::Backend::DataRow(row) = frame.backend().expect("a row") else { panic!("a row") };
    see(&row);
}

#[test]
fn fields_are_found_by_name_in_any_order() {
    let expected = User { id: 7, name: "Ada", r#type: None };
    let in_order = [("id", oid::INT4), ("name", oid::TEXT), ("type", oid::TEXT)];
    let permuted = [("type", oid::TEXT), ("other", oid::TEXT), ("name", oid::TEXT), ("id", oid::INT4)];
    let more = [("id", oid::INT4), ("name", oid::TEXT), ("type", oid::TEXT), ("other", oid::TEXT)];
    let (id, name, other) = (Some(&b"7"[..]), Some(&b"Ada"[..]), Some(&b"x"[..]));
    for (fields, values) in [
        (&in_order[..], &[id, name, None][..]),
        (&permuted[..], &[None, other, name, id]),
        (&more[..], &[id, name, None, other]),
    ] {
        let mut columns = columns(fields);
        for prepared in [false, true] {
            if prepared {
                columns.prepare::<User<'_>>().expect("names and types fit");
            }
            both_forms(values, |row| {
                assert_eq!(columns.decode::<User<'_>>(row).expect("the row fits"), expected);
            });
        }
    }
}

#[test]
fn fields_are_read_by_position() {
    let columns = columns(&[("b", oid::INT4), ("a", oid::TEXT)]);
    both_forms(&[Some(b"7"), Some(b"Ada")], |row| {
        assert_eq!(columns.decode::<Pair>(row).expect("the row fits"), Pair(7, "Ada".into()));
        let position = Position { first: 7, second: "Ada".into() };
        assert_eq!(columns.decode::<Position>(row).expect("the row fits"), position);
    });
}

#[derive(FromRow, Debug, PartialEq)]
struct Generic<T> {
    name: T,
}

#[test]
fn a_struct_can_have_a_type_parameter() {
    let columns = columns(&[("name", oid::TEXT)]);
    both_forms(&[Some(b"Ada")], |row| {
        assert_eq!(
            columns.decode::<Generic<String>>(row).expect("the row fits"),
            Generic { name: "Ada".into() }
        );
        assert_eq!(columns.decode::<Generic<&str>>(row).expect("the row fits"), Generic { name: "Ada" });
    });
}

#[test]
fn a_mismatch_is_found_before_the_first_row() {
    let message =
        |fields: &[(&str, Oid)]| columns(fields).prepare::<User<'_>>().expect_err("a mismatch").to_string();
    assert_eq!(message(&[("id", oid::INT4), ("name", oid::TEXT)]), "there is no column \"type\" in the row");
    let wrong = message(&[("type", oid::TEXT), ("id", oid::BOOL), ("name", oid::TEXT)]);
    assert_eq!(wrong, "column 1 \"id\" of type bool: the value is not an i32");
    let error = columns(&[("a", oid::INT4)]).prepare::<Pair>().expect_err("one column").to_string();
    assert_eq!(error, "the row has 1 column but the requested type reads 2 columns");
}

#[test]
fn an_error_in_a_row_names_the_column() {
    let columns = columns(&[("name", oid::TEXT), ("type", oid::TEXT), ("id", oid::INT4)]);
    both_forms(&[None, None, Some(b"7")], |row| {
        let error = columns.decode::<User<'_>>(row).expect_err("NULL").to_string();
        assert_eq!(error, "column 0 \"name\" of type text: the value is NULL: use Option<&str>");
    });
    both_forms(&[Some(b"Ada"), None], |row| {
        let error = columns.decode::<User<'_>>(row).expect_err("two values").to_string();
        assert_eq!(error, "the row has 2 values but the RowDescription has 3 columns");
    });
}

#[test]
fn the_prepared_order_is_dropped_with_its_description() {
    let mut columns = columns(&[("name", oid::TEXT), ("type", oid::TEXT), ("id", oid::INT4)]);
    columns.prepare::<User<'_>>().expect("names and types fit");
    let fields = [("id", oid::INT4), ("type", oid::TEXT), ("name", oid::TEXT)]
        .map(|(name, type_oid)| FieldDescription { name: name.into(), type_oid, ..Default::default() });
    let description = RowDescription { fields: List::from(&fields) };
    columns.follow(&pg_wire::backend::Backend::RowDescription(description)).expect("no row");
    both_forms(&[Some(b"7"), None, Some(b"Ada")], |row| {
        let expected = User { id: 7, name: "Ada", r#type: None };
        assert_eq!(columns.decode::<User<'_>>(row).expect("the row fits"), expected);
    });
}
