//! The project's own sources, parsed, with a map from lines to functions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::error::Error;
use crate::project::Project;

/// Every Rust file of a workspace that Cargo would compile.
#[derive(Debug, Default)]
pub struct Sources {
    files: BTreeMap<PathBuf, SourceFile>,
}

/// One file.
pub struct SourceFile {
    /// The text as it was read.
    pub text: String,
    /// The syntax tree; nothing where it does not parse on its own.
    pub syntax: Option<syn::File>,
    /// The functions in it, in the order of the text.
    pub functions: Vec<Function>,
}

/// A function and the lines it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function {
    /// Its name, behind the names of the types and modules around it in the file.
    pub name: String,
    /// Its first line, counted from 1.
    pub first_line: u32,
    /// Its last line.
    pub last_line: u32,
    /// True when code outside of the crate may call it.
    pub is_public: bool,
}

impl Sources {
    /// Reads the sources of every package of `project`, paths relative to its root.
    ///
    /// # Errors
    ///
    /// A folder or file cannot be read.
    pub fn read(project: &Project) -> Result<Self, Error> {
        let mut sources = Self::default();
        for package in &project.packages {
            let Some(folder) = package.manifest_path.parent() else { continue };
            for part in ["src", "examples", "benches"] {
                sources.read_folder(&project.root, &folder.join(part))?;
            }
        }
        Ok(sources)
    }

    /// Returns sources from texts by path, for what is not on disk.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files = texts
            .into_iter()
            .map(|(path, text)| (PathBuf::from(path), SourceFile::parse(text.to_owned())))
            .collect();
        Self { files }
    }

    /// Returns every file by its path.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &SourceFile)> {
        self.files.iter().map(|(path, file)| (path.as_path(), file))
    }

    /// Returns the text of a file.
    #[must_use]
    pub fn text(&self, path: &Path) -> Option<&str> {
        self.files.get(path).map(|file| file.text.as_str())
    }

    /// Returns the innermost function around a line, counted from 1.
    #[must_use]
    pub fn function_at(&self, path: &Path, line: u32) -> Option<&Function> {
        self.files
            .get(path)?
            .functions
            .iter()
            .filter(|function| (function.first_line..=function.last_line).contains(&line))
            .min_by_key(|function| function.last_line - function.first_line)
    }

    /// Returns how many lines there are in all files.
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.files.values().map(|file| file.text.lines().count()).sum()
    }

    fn read_folder(&mut self, root: &Path, folder: &Path) -> Result<(), Error> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| Error::file("read", folder, error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| Error::file("read", folder, error))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| Error::file("read", &path, error))?;
            if kind.is_dir() {
                self.read_folder(root, &path)?;
            } else if kind.is_file() && path.extension().is_some_and(|end| end == "rs") {
                // What is no text is nothing that a rule could read; the compiler will tell.
                let Ok(text) = fs::read_to_string(&path) else { continue };
                let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
                self.files.insert(relative, SourceFile::parse(text));
            }
        }
        Ok(())
    }
}

impl SourceFile {
    fn parse(text: String) -> Self {
        let syntax = syn::parse_file(&text).ok();
        let mut map = FunctionMap::default();
        if let Some(syntax) = &syntax {
            map.visit_file(syntax);
        }
        Self { text, syntax, functions: map.functions }
    }
}

impl std::fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceFile")
            .field("bytes", &self.text.len())
            .field("is_parsed", &self.syntax.is_some())
            .field("functions", &self.functions)
            .finish()
    }
}

/// Collects functions while it walks down through modules and types.
#[derive(Default)]
struct FunctionMap {
    path: Vec<String>,
    is_public_here: Vec<bool>,
    functions: Vec<Function>,
}

impl FunctionMap {
    fn add(&mut self, name: &syn::Ident, span: Span, is_public: bool) {
        let mut path = self.path.clone();
        path.push(name.to_string());
        self.functions.push(Function {
            name: path.join("::"),
            first_line: line(span.start()),
            last_line: line(span.end()),
            is_public: is_public && self.is_public_here.iter().all(|&is_public| is_public),
        });
    }

    fn within(&mut self, name: String, is_public: bool, walk: impl FnOnce(&mut Self)) {
        self.path.push(name);
        self.is_public_here.push(is_public);
        walk(self);
        self.path.pop();
        self.is_public_here.pop();
    }
}

impl<'ast> Visit<'ast> for FunctionMap {
    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        self.within(node.ident.to_string(), is_public(&node.vis), |map| {
            visit::visit_item_mod(map, node);
        });
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        let name = match node.self_ty.as_ref() {
            syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        self.within(name.unwrap_or_else(|| "impl".to_owned()), true, |map| {
            visit::visit_item_impl(map, node);
        });
    }

    fn visit_item_trait(&mut self, node: &'ast syn::ItemTrait) {
        self.within(node.ident.to_string(), is_public(&node.vis), |map| {
            visit::visit_item_trait(map, node);
        });
    }

    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.add(&node.sig.ident, node.span(), is_public(&node.vis));
        self.within(node.sig.ident.to_string(), false, |map| visit::visit_item_fn(map, node));
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.add(&node.sig.ident, node.span(), is_public(&node.vis));
        self.within(node.sig.ident.to_string(), false, |map| {
            visit::visit_impl_item_fn(map, node);
        });
    }

    fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
        self.add(&node.sig.ident, node.span(), true);
        self.within(node.sig.ident.to_string(), false, |map| {
            visit::visit_trait_item_fn(map, node);
        });
    }
}

fn is_public(visibility: &syn::Visibility) -> bool {
    matches!(visibility, syn::Visibility::Public(_))
}

/// Returns a line of a span; `proc-macro2` counts from 1.
pub(super) fn line(place: proc_macro2::LineColumn) -> u32 {
    u32::try_from(place.line).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_belongs_to_the_innermost_function() {
        let text = "struct A;\nimpl A {\n    pub fn run(&self) {\n        fn inner() {}\n        \
                    inner();\n    }\n}\n";
        let sources = Sources::from_texts([("src/a.rs", text)]);
        let name = |line| {
            sources.function_at(Path::new("src/a.rs"), line).map(|function| function.name.as_str())
        };
        assert_eq!(name(1), None);
        assert_eq!(name(3), Some("A::run"));
        assert_eq!(name(4), Some("A::run::inner"));
        assert_eq!(name(5), Some("A::run"));
    }

    #[test]
    fn what_does_not_parse_has_no_functions() {
        let sources = Sources::from_texts([("a.rs", "fn (")]);
        assert_eq!(sources.function_at(Path::new("a.rs"), 1), None);
        assert_eq!(sources.text(Path::new("a.rs")), Some("fn ("));
    }
}
