//! The modules of a crate, and which module a path leads to.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use syn::{Item, UseTree, Visibility};

use crate::lint::source::{Source, attributes, is_test};

/// Most re-exports that are followed for one path. A longer chain is a re-export of itself.
const MOST_STEPS: usize = 32;

/// A crate's modules without those of its tests. The first one is the root.
pub(super) struct Tree {
    pub(super) modules: Vec<Module>,
}

/// One module: a file, or a `mod NAME { … }` within a file.
#[derive(Default)]
pub(super) struct Module {
    /// Index of its file among the crate's sources.
    pub(super) file: usize,
    parent: usize,
    /// Names of the inline modules around its items, from the file's own module on.
    pub(super) within: Vec<String>,
    /// Modules declared here, as indexes.
    children: BTreeMap<String, usize>,
    /// Names of the other items declared here.
    items: BTreeSet<String>,
    /// Imports and re-exports.
    pub(super) uses: Vec<Use>,
}

/// One name of a `use`.
#[derive(Debug)]
pub(super) struct Use {
    /// The name in this module; `*` for a glob.
    name: String,
    /// The path as written.
    pub(super) path: Vec<String>,
    /// `pub use`, of any visibility.
    pub(super) is_export: bool,
    pub(super) line: usize,
}

/// The end of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A module, as an index.
    Module(usize),
    /// An item, or a part of an item, in this module.
    Item(usize),
    /// A path into another crate; or a name without a meaning outside its function.
    Outside(Vec<String>),
}

impl Tree {
    /// Reads the module declarations, from the root file on.
    pub(super) fn new(sources: &[Source]) -> Result<Self> {
        let is_root =
            |source: &Source| source.path.ends_with("src/lib.rs") || source.path.ends_with("src/main.rs");
        let root = sources.iter().position(is_root).context("a crate without lib.rs and main.rs")?;
        let (folder, _) = sources[root].path.rsplit_once('/').context("a root without a folder")?;
        let mut tree = Self { modules: vec![Module { file: root, ..Module::default() }] };
        tree.fill(0, &sources[root].code.items, folder, sources)?;
        Ok(tree)
    }

    /// Reads a module's items. `folder` is where the files of its children are.
    fn fill(&mut self, at: usize, items: &[Item], folder: &str, sources: &[Source]) -> Result<()> {
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let inner = format!("{folder}/{name}");
                    let content = module.content.as_ref().map(|(_, items)| items);
                    let files = [format!("{inner}.rs"), format!("{inner}/mod.rs")];
                    let file = match content {
                        Some(_) => self.modules[at].file,
                        None => sources.iter().position(|source| files.contains(&source.path)).with_context(
                            || format!("{}: `mod {name}` has no file", sources[self.modules[at].file].path),
                        )?,
                    };
                    let within = content
                        .map(|_| [self.modules[at].within.as_slice(), std::slice::from_ref(&name)].concat());
                    let child = self.modules.len();
                    let within = within.unwrap_or_default();
                    self.modules.push(Module { file, parent: at, within, ..Module::default() });
                    self.modules[at].children.insert(name, child);
                    self.fill(child, content.unwrap_or(&sources[file].code.items), &inner, sources)?;
                }
                Item::Use(item) => {
                    let is_export = !matches!(item.vis, Visibility::Inherited);
                    // A path from `::` on names a crate.
                    let prefix = item.leading_colon.map(|_| String::from("::")).into_iter().collect();
                    flatten(&item.tree, prefix, is_export, &mut self.modules[at].uses);
                }
                other => self.modules[at].items.extend(name(other)),
            }
        }
        Ok(())
    }

    /// Follows a path as written in module `at`.
    pub(super) fn resolve(&self, at: usize, path: &[String]) -> Place {
        self.follow(at, path, MOST_STEPS)
    }

    fn follow(&self, at: usize, path: &[String], steps: usize) -> Place {
        let outside = || Place::Outside(path.to_vec());
        let Some(left) = steps.checked_sub(1) else { return outside() };
        let Some((first, rest)) = path.split_first() else { return Place::Module(at) };
        let mut place = match first.as_str() {
            "crate" => Place::Module(0),
            "self" => Place::Module(at),
            "super" => Place::Module(self.modules[at].parent),
            name => match self.lookup(at, name, left) {
                Some(place) => place,
                None => return outside(),
            },
        };
        for name in rest {
            place = match place {
                Place::Module(module) if name == "super" => Place::Module(self.modules[module].parent),
                // A name that is not declared was made by a macro of that module.
                Place::Module(module) => self.lookup(module, name, left).unwrap_or(Place::Item(module)),
                Place::Item(_) => return place,
                Place::Outside(mut path) => {
                    path.push(name.clone());
                    Place::Outside(path)
                }
            };
        }
        place
    }

    /// The place that a name means in a module.
    fn lookup(&self, at: usize, name: &str, steps: usize) -> Option<Place> {
        let module = &self.modules[at];
        if let Some(child) = module.children.get(name) {
            return Some(Place::Module(*child));
        }
        if module.items.contains(name) {
            return Some(Place::Item(at));
        }
        if let Some(found) = module.uses.iter().find(|found| found.name == name) {
            return match found.path.as_slice() {
                // The crate of that name.
                [only] if only == name => Some(Place::Outside(found.path.clone())),
                path => Some(self.follow(at, path, steps)),
            };
        }
        let globs = module.uses.iter().filter(|found| found.name == "*");
        globs
            .filter_map(|glob| match self.follow(at, &glob.path, steps) {
                Place::Module(target) if target != at => self.lookup(target, name, steps.checked_sub(1)?),
                _ => None,
            })
            .next()
    }
}

/// The names of a `use`.
fn flatten(tree: &UseTree, mut prefix: Vec<String>, is_export: bool, uses: &mut Vec<Use>) {
    let mut push = |name: String, path: Vec<String>, line| uses.push(Use { name, path, is_export, line });
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, is_export, uses);
        }
        UseTree::Name(name) if name.ident == "self" => {
            push(prefix.last().cloned().unwrap_or_default(), prefix, name.ident.span().start().line);
        }
        UseTree::Name(name) => {
            prefix.push(name.ident.to_string());
            push(name.ident.to_string(), prefix, name.ident.span().start().line);
        }
        UseTree::Rename(rename) => {
            if rename.ident != "self" {
                prefix.push(rename.ident.to_string());
            }
            push(rename.rename.to_string(), prefix, rename.ident.span().start().line);
        }
        UseTree::Glob(glob) => push(String::from("*"), prefix, glob.star_token.spans[0].start().line),
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| flatten(tree, prefix.clone(), is_export, uses));
        }
    }
}

/// The name that an item declares.
fn name(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}
