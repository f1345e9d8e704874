//! Rule: the documentation of a message has a link to the paragraph of the manual about this message.

use crate::lint::finding::Finding;
use crate::lint::messages::declared::{Declared, Role};

/// The beginning of each link: the address of the manual's page that describes all messages, and the beginning of an anchor on this page.
const FORMATS: &str =
    "https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-";

/// Reports each message whose documentation has no link to the message's paragraph in the manual.
pub(super) fn check(all: &[Declared]) -> Vec<Finding> {
    all.iter()
        .filter(|declared| declared.is_message())
        .filter_map(|declared| check_one(declared, all))
        .collect()
}

fn check_one(declared: &Declared, all: &[Declared]) -> Option<Finding> {
    let anchor = |declared: &Declared| declared.manual_name().to_ascii_uppercase();
    let remedy = format!("end the documentation with `[Format]({FORMATS}{})`", anchor(declared));
    let linked = declared.docs.iter().find_map(|(line, text)| Some((*line, text.split_once(FORMATS)?.1)));
    let Some((line, linked)) = linked else {
        let wrong =
            format!("the documentation of {} has no link to its paragraph of the manual", declared.name);
        return Some(Finding::new(&declared.file, declared.line, wrong, remedy));
    };
    let linked = linked.split(')').next().unwrap_or_default();
    // A link to the paragraph of any message with the same code is accepted. Several messages may share a code and a paragraph. For an enum
    // such as Authentication, the manual has a paragraph for each variant and none for the enum.
    let shares_code =
        |other: &&Declared| other.role == declared.role && matches!(other.role, Role::Message(_));
    let is_right = all.iter().filter(shares_code).any(|other| linked == anchor(other))
        || linked == anchor(declared)
        || (linked.starts_with(&anchor(declared))
            && matches!(declared.shape, super::declared::Shape::Kinds(_)));
    let finding = || {
        let wrong = format!(
            "the documentation of {} links the paragraph of another message: {linked}",
            declared.name
        );
        Finding::new(&declared.file, line, wrong, remedy)
    };
    (!is_right).then(finding)
}
