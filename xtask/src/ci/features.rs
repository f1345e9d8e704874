//! Checks every library crate with the sets of features that a user may choose.

use anyhow::{Result, bail};

use crate::lint::source::read_folder;
use crate::{packages, paths, process};

/// A crate with at most this number of features is checked with every set of its features. Each further feature would double the number of
/// sets, so a crate with more features is checked only with some sets.
const ALL_SETS: usize = 3;

/// Lints every library crate with each set of features. Warnings are errors. For example, a function that is used only with a feature
/// causes a warning if the feature is off.
pub(super) fn run() -> Result<()> {
    for library in packages::published()?.iter().filter(|package| package.has_library()) {
        without_tls(&library.name)?;
        let features = library.features();
        let sources = read_folder(&library.directory, "src")?;
        let sources: String = sources.into_iter().map(|source| source.text).collect();
        for set in sets(&features, &sources) {
            let set = set.join(",");
            eprintln!("{} --no-default-features --features '{set}'", library.name);
            let clippy = [
                "clippy",
                "--quiet",
                "--no-deps",
                "--package",
                &library.name,
                "--no-default-features",
                "--features",
                &set,
            ];
            process::succeed(paths::cargo(clippy).args(["--", "-D", "warnings"]))?;
        }
    }
    Ok(())
}

/// Parts of the names of TLS packages. A user without TLS must not have to compile such a package.
const TLS: [&str; 7] =
    ["aws-lc", "native-tls", "openssl", "rustls", "schannel", "security-framework", "webpki"];

/// Checks that `library`, built without features, depends on no TLS library on any platform.
fn without_tls(library: &str) -> Result<()> {
    let tree = ["tree", "--package", library, "--no-default-features", "--edges", "normal,build"];
    let tree = process::read(paths::cargo(tree).args(["--target", "all", "--prefix", "none"]))?;
    match tls_packages(&tree).as_slice() {
        [] => Ok(()),
        found => {
            bail!("{library} without features depends on {}; make the dependency optional", found.join(", "))
        }
    }
}

/// Returns the TLS packages in the output of `cargo tree`. The output has one package on each line.
fn tls_packages(tree: &str) -> Vec<&str> {
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let is_tls = |name: &&str| *name == "ring" || TLS.iter().any(|word| name.contains(word));
    let mut found: Vec<_> = names.filter(is_tls).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The sets of features to check: all features, and sets of the features that `sources`, the source code of the library, names. A feature
/// that the source code does not name only enables features of other packages, so this feature does not change what is compiled here.
///
/// For at most [`ALL_SETS`] named features: every set. For more named features: the empty set, and each feature alone.
fn sets<'f>(features: &'f [String], sources: &str) -> Vec<Vec<&'f str>> {
    let all: Vec<&str> = features.iter().map(String::as_str).collect();
    let named: Vec<&str> =
        all.iter().copied().filter(|name| sources.contains(&format!("feature = \"{name}\""))).collect();
    let mut sets: Vec<Vec<&str>> = if named.len() > ALL_SETS {
        std::iter::once(Vec::new()).chain(named.iter().map(|name| vec![*name])).collect()
    } else {
        // Each feature doubles the list: the sets without the feature, then the sets with the feature.
        named.iter().fold(vec![Vec::new()], |sets, name| {
            let with = sets.iter().map(|set| [set.as_slice(), &[name]].concat()).collect::<Vec<_>>();
            [sets, with].concat()
        })
    };
    if !sets.contains(&all) {
        sets.push(all);
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::{sets, tls_packages};

    fn names(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    /// Source code that names these features.
    fn sources(line: &str) -> String {
        line.split_whitespace().map(|name| format!("#[cfg(feature = \"{name}\")]\n")).collect()
    }

    #[test]
    fn few_features_are_tried_in_every_set() {
        assert_eq!(sets(&[], ""), [[""; 0]]);
        assert_eq!(sets(&names("a b"), &sources("a b")), [vec![], vec!["a"], vec!["b"], vec!["a", "b"]]);
        assert_eq!(sets(&names("a b c"), &sources("c b a")).len(), 8);
    }

    #[test]
    fn many_features_are_tried_alone_and_together() {
        let features = names("a b c d e");
        let sets = sets(&features, &sources("a b c d e"));
        assert_eq!(sets.len(), 7);
        assert_eq!(sets[0], [""; 0]);
        assert_eq!(sets[1], ["a"]);
        assert_eq!(sets[6], ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_feature_that_the_source_code_does_not_name_is_tried_only_together_with_all_features() {
        let features = names("a ab c d");
        assert_eq!(sets(&features, &sources("ab")), [vec![], vec!["ab"], vec!["a", "ab", "c", "d"]]);
        assert_eq!(sets(&features, ""), [vec![], vec!["a", "ab", "c", "d"]]);
    }

    #[test]
    fn tls_packages_are_found_by_their_names() {
        let tree = "pg-stream-tokio v0.1.0 (/pg-stream-tokio)\ntokio-rustls v0.26.6\nring v0.17.14\nring v0.17.14 (*)\n\
            bytes v1.12.1\nopenssl-sys v0.9.1\n\nasync-native-tls v0.5.0\nstringprep v0.1.5\n";
        assert_eq!(tls_packages(tree), ["async-native-tls", "openssl-sys", "ring", "tokio-rustls"]);
        assert_eq!(tls_packages("pg-wire v0.1.0 (/pg-wire)\nbytes v1.12.1\nsubtle v2.6.1\n"), [""; 0]);
    }
}
