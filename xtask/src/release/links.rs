//! The links in the documents of the project. Links to other sites are not followed.

use std::fs;
use std::path::Path;

/// The documents that are read in the repository, where relative links work.
const IN_REPOSITORY: [&str; 3] = ["README.md", "CHANGELOG.md", "xtask/bench/NOTES.md"];

/// The documents that the package registry shows. On the registry's pages, a relative link does not work.
const ON_REGISTRY: [&str; 5] = [
    "pg-wire/README.md",
    "pg-wire/derive/README.md",
    "pg-auth/README.md",
    "pg-stream-tokio/README.md",
    "pg-stream-async-std/README.md",
];

/// The dead links in all documents. `root` is the root directory of the workspace.
pub(super) fn check(root: &Path) -> Vec<String> {
    let documents =
        IN_REPOSITORY.map(|path| (path, false)).into_iter().chain(ON_REGISTRY.map(|path| (path, true)));
    let mut faults = Vec::new();
    for (path, on_registry) in documents {
        let Ok(document) = fs::read_to_string(root.join(path)) else {
            faults.push(format!("{path} cannot be read"));
            continue;
        };
        let directory = root.join(path).parent().map(Path::to_owned).unwrap_or_default();
        let exists = |target: &str| directory.join(target).exists();
        faults.extend(
            dead(&document, on_registry, exists).map(|(line, fault)| format!("{path}:{line}: {fault}")),
        );
    }
    faults
}

/// The dead links of a document, each with the number of its line. `exists` returns whether a path relative to the document exists.
fn dead(
    document: &str,
    on_registry: bool,
    exists: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (usize, String)> {
    let anchors: Vec<String> = prose(document).filter_map(|(_, line)| anchor(line)).collect();
    let fault = move |target: &str| {
        if target.starts_with("https://") {
            return None;
        }
        let (path, fragment) =
            target.split_once('#').map_or((target, None), |(path, fragment)| (path, Some(fragment)));
        if path.is_empty() {
            let found = fragment.is_some_and(|fragment| anchors.iter().any(|anchor| anchor == fragment));
            return (!found).then(|| format!("the document has no heading for the link {target}"));
        }
        if on_registry {
            return Some(format!(
                "the relative link {target} leads nowhere in the package registry: write an absolute link"
            ));
        }
        (!exists(path)).then(|| format!("the link leads to {target}, which does not exist"))
    };
    let links: Vec<(usize, &str)> = prose(document)
        .flat_map(|(number, line)| targets(line).map(move |target| (number, target)))
        .collect();
    let dead: Vec<_> =
        links.into_iter().filter_map(|(number, target)| Some((number, fault(target)?))).collect();
    dead.into_iter()
}

/// The numbered lines of a document outside blocks of code.
fn prose(document: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(document.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The targets of the links in a line, outside code.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    // Splits the line at backquotes, and leaves out every second part, because it is code. If the text of a link is code, the target of the
    // link is in the part after this code.
    let parts = line.split('`').step_by(2);
    parts
        .flat_map(|part| part.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
}

/// The anchor of a heading: the text in lower case, without punctuation, with hyphens instead of spaces.
fn anchor(line: &str) -> Option<String> {
    let text = line.starts_with('#').then(|| line.trim_start_matches('#').trim())?;
    let kept = text.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    Some(kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect())
}

#[cfg(test)]
mod tests {
    use super::dead;

    fn faults(document: &str, on_registry: bool) -> Vec<(usize, String)> {
        dead(document, on_registry, |path| path == "file.md").collect()
    }

    #[test]
    fn links_to_files_headings_and_sites_pass() {
        let document = "# A title\n\n[a](file.md#part) [`b`](https://example.org) [c](#a-title)\n\n```text\n[d](nowhere)\n```\n`[e](code)`\n";
        assert_eq!(faults(document, false), []);
    }

    #[test]
    fn links_to_missing_files_and_headings_are_reported() {
        let missing = (1, "the link leads to other.md, which does not exist".to_owned());
        assert_eq!(faults("[a](other.md)", false), [missing]);
        let heading = (3, "the document has no heading for the link #two".to_owned());
        assert_eq!(faults("# One\n\n![x](file.md) [a](#two)", false), [heading]);
    }

    #[test]
    fn a_relative_link_on_a_registry_page_is_reported() {
        assert_eq!(faults("[a](file.md)", true).len(), 1);
        assert_eq!(faults("[a](https://docs.rs/a)", true), []);
    }
}
