//! Rule: the layout in a message's documentation agrees with the message's fields.

use syn::{GenericArgument, PathArguments, PathSegment, Type};

use crate::lint::finding::Finding;
use crate::lint::messages::declared::{Declared, Role, Shape, docs};

/// The letters for the counts of lists: `n` is the number of items of the first list in a message, `m` of the second list, and so on.
const COUNTS: [&str; 4] = ["n", "m", "r", "k"];

/// Reports each declaration whose documentation has no layout, or has a layout that differs from the declaration's fields. `byte` takes the
/// name of a constant of `MessageCode`, and returns the code.
pub(super) fn check(all: &[Declared], byte: impl Fn(&str) -> Option<u8>) -> Vec<Finding> {
    all.iter()
        .filter_map(|declared| check_one(declared, all, &byte))
        .chain(all.iter().flat_map(check_kinds))
        .collect()
}

fn check_one(declared: &Declared, all: &[Declared], byte: impl Fn(&str) -> Option<u8>) -> Option<Finding> {
    let finding =
        |line, wrong: String, remedy: String| Some(Finding::new(&declared.file, line, wrong, remedy));
    let name = &declared.name;
    let head = match &declared.role {
        Role::Message(code) => match byte(code) {
            Some(byte) => vec![format!("`{}`", byte.escape_ascii()), "length".into()],
            None => {
                let remedy = "add a row to the table of the direction, in backend/mod.rs or frontend/mod.rs";
                return finding(
                    declared.line,
                    format!("no table has the code {code} of {name}"),
                    remedy.into(),
                );
            }
        },
        Role::Packet(request) => std::iter::once(String::from("Length"))
            .chain(request.map(|code| format!("Int32 {code}")))
            .collect(),
        Role::Part => Vec::new(),
    };
    let fields = match &declared.shape {
        Shape::Named(fields) => fields_of(fields, declared, all, &mut COUNTS.iter()),
        Shape::Kinds(_) => {
            Ok(join(&[String::from("Int32 kind"), String::from("then the fields of the kind")]))
        }
        Shape::Around(_) => return None,
    };
    let fields = match fields {
        Ok(fields) => fields,
        Err(unknown) => {
            let remedy =
                "add the type to `Wire::of` in xtask/src/lint/messages/layout.rs, with its form on the wire";
            return finding(
                declared.line,
                format!("{name}: lint does not know the layout of {unknown}"),
                remedy.into(),
            );
        }
    };
    let expected = if fields.is_empty() { join(&head) } else { join(&[head, vec![fields]].concat()) };
    let remedy = format!("write the fields in wire order, with their names: `/// {expected}.`");
    let starts = |line: &str| match declared.role {
        Role::Message(_) => line.starts_with('`') && line.contains("`, length"),
        Role::Packet(_) => line.starts_with("Length"),
        // This value is not used: the layout of a part is always the second paragraph of the part's documentation.
        Role::Part => false,
    };
    let paragraphs: Vec<&[(usize, String)]> =
        declared.docs.split(|(_, line)| line.is_empty()).filter(|lines| !lines.is_empty()).collect();
    let paragraph = match declared.role {
        Role::Part => paragraphs.get(1),
        _ => paragraphs.iter().find(|lines| lines.first().is_some_and(|(_, line)| starts(line))),
    };
    let Some(paragraph) = paragraph else {
        return finding(declared.line, format!("the documentation of {name} has no layout"), remedy);
    };
    let given = paragraph.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join(" ");
    // The layout ends at the first full stop. Further sentences in the paragraph are not part of the layout.
    let given = given.split(". ").next().unwrap_or_default().trim_end_matches('.');
    if given == expected {
        return None;
    }
    let line = paragraph.first().map_or(declared.line, |(line, _)| *line);
    finding(line, format!("the layout of {name} differs from its fields: `{given}`"), remedy)
}

/// For an enum of kinds: reports each variant whose documentation does not begin with the variant's number.
fn check_kinds(declared: &Declared) -> Vec<Finding> {
    let Shape::Kinds(kinds) = &declared.shape else { return Vec::new() };
    let wrong = kinds.iter().filter_map(|(variant, number)| {
        let number = (*number)?;
        let docs = docs(&variant.attrs);
        let starts = docs.first().is_some_and(|(_, line)| line.starts_with(&format!("{number}: ")));
        let finding = || {
            let line = variant.ident.span().start().line;
            let wrong = format!(
                "the documentation of {}::{} does not begin with its kind",
                declared.name, variant.ident
            );
            Finding::new(
                &declared.file,
                line,
                wrong,
                format!("begin with the number on the wire: `/// {number}: …`"),
            )
        };
        (!starts).then(finding)
    });
    wrong.collect()
}

/// The text of one field in a layout, such as `Int32 pid`.
enum Wire {
    /// One part: the manual's type and the field's name, such as `Int32 pid`.
    One(String),
    /// Several parts, such as the count of a list and its items.
    Several(Vec<String>),
}

/// The layout of a list of fields.
fn fields_of<'c>(
    fields: &[(String, Type)],
    declared: &Declared,
    all: &[Declared],
    counts: &mut impl Iterator<Item = &'c &'static str>,
) -> Result<String, String> {
    let mut parts = Vec::new();
    for (name, ty) in fields {
        match Wire::of(name, ty, declared, all, counts)? {
            Wire::One(part) => parts.push(part),
            Wire::Several(several) => parts.extend(several),
        }
    }
    Ok(join(&parts))
}

/// Joins the parts of a layout with commas. If a part is a list, a semicolon follows the list, because its items may contain commas.
fn join(parts: &[String]) -> String {
    let mut text = String::new();
    for part in parts {
        if !text.is_empty() {
            let after_items = text.rsplit(';').next().unwrap_or_default().contains(" times: ");
            text.push_str(if after_items { "; " } else { ", " });
        }
        text.push_str(part);
    }
    text
}

impl Wire {
    /// Describes the field `name` of the type `ty`. `counts` supplies the letters for counts. Returns an error with the names of the field
    /// and of the type if the type is unknown.
    fn of<'c>(
        name: &str,
        ty: &Type,
        declared: &Declared,
        all: &[Declared],
        counts: &mut impl Iterator<Item = &'c &'static str>,
    ) -> Result<Self, String> {
        let segment = last_segment(ty).ok_or_else(|| String::from("a type without a name"))?;
        let type_name = segment.ident.to_string();
        let mut count = || counts.next().copied().unwrap_or("x");
        let values = |count: &str| {
            [format!("Int16 {count}"), format!("{count} times: Int32 length or -1 for NULL, bytes")]
        };
        if let Some(word) = word(&type_name) {
            return Ok(Self::One(format!("{word} {name}")));
        }
        Ok(match type_name.as_str() {
            "Option" => {
                let absent = match arguments(segment).first().and_then(|ty| last_segment(ty)) {
                    Some(inner) if inner.ident == "Secret" => "none",
                    _ => "NULL",
                };
                Self::Several(vec![format!("Int32 length of {name} or -1 for {absent}"), "bytes".into()])
            }
            "Values" => Self::Several(values(count()).into()),
            parameter
                if parameter == "EncodedParams" || declared.parameters.iter().any(|own| own == parameter) =>
            {
                let formats = count();
                let formats = [format!("Int16 {formats}"), format!("Int16\\[{formats}\\] formats")];
                Self::Several(formats.into_iter().chain(values(count())).collect())
            }
            "List" => {
                let arguments = arguments(segment);
                let item = arguments.first().and_then(|ty| last_segment(ty)).ok_or("a list without items")?;
                let width = match arguments.get(1).and_then(|ty| last_segment(ty)) {
                    Some(count) => word(&count.ident.to_string()).ok_or("a list with an unknown count")?,
                    None => "Int16",
                };
                let count = count();
                let items = match word(&item.ident.to_string()) {
                    Some(word) => format!("{word}\\[{count}\\] {name}"),
                    None => format!("{count} times a [`{}`]", item.ident),
                };
                Self::Several(vec![format!("{width} {count}"), items])
            }
            "Terminated" => {
                let arguments = arguments(segment);
                let item = arguments.first().ok_or("a list without items")?;
                Self::Several(vec![format!("{} for each of {name}", one_item(item, all)?), "Byte1 0".into()])
            }
            other => match all.iter().find(|declared| declared.name == other).map(|declared| &declared.shape)
            {
                Some(Shape::Around(inner)) => Self::of(name, inner, declared, all, counts)?,
                _ => return Err(format!("`{name}: {other}`")),
            },
        })
    }
}

/// The text for one item of a terminated list: a type, or several types in parentheses.
fn one_item(item: &Type, all: &[Declared]) -> Result<String, String> {
    if let Type::Tuple(items) = item {
        let words: Result<Vec<String>, String> = items.elems.iter().map(|item| one_item(item, all)).collect();
        return Ok(format!("({})", words?.join(", ")));
    }
    let name = last_segment(item).map(|segment| segment.ident.to_string()).unwrap_or_default();
    if let Some(word) = word(&name) {
        return Ok(word.to_owned());
    }
    match all.iter().find(|declared| declared.name == name) {
        Some(declared) => match &declared.shape {
            Shape::Named(fields) => {
                Ok(format!("({})", fields_of(fields, declared, all, &mut COUNTS.iter())?))
            }
            _ => Err(name),
        },
        None => Err(name),
    }
}

/// The manual's name for a type that is one field on the wire.
fn word(type_name: &str) -> Option<&'static str> {
    Some(match type_name {
        "u8" | "Target" | "TransactionStatus" => "Byte1",
        "CopyFormat" => "Int8",
        "i16" | "u16" | "FormatCode" => "Int16",
        "i32" | "u32" | "Oid" | "ProtocolVersion" => "Int32",
        "Text" | "SecretText" => "String",
        "Payload" | "Secret" => "bytes",
        _ => return None,
    })
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// The types among the arguments of a generic type.
fn arguments(segment: &PathSegment) -> Vec<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return Vec::new() };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}
