//! What is not touched without asking: public API, `unsafe`, and the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::visit::{self, Visit};

use crate::error::Error;
use crate::project::Copy;

/// What a session may change beside the insides of functions.
///
/// # Defaults
///
/// Nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Permissions {
    /// Signatures and definitions that other crates see.
    pub public_api: bool,
    /// Code that is or becomes `unsafe`.
    pub unsafety: bool,
    /// Manifests, and so dependencies and profiles.
    pub manifest: bool,
}

/// Why somebody has to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Question {
    /// See [`Permissions::public_api`].
    #[error("it changes the public API")]
    PublicApi,
    /// See [`Permissions::unsafety`].
    #[error("it adds, removes or changes unsafe code")]
    UnsafeCode,
    /// See [`Permissions::manifest`].
    #[error("it changes a manifest")]
    Manifest,
}

impl Permissions {
    /// Returns what has to be asked before `texts` replace the files of the copy.
    ///
    /// A file that does not parse is left to the compiler.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub(super) fn question(
        self,
        texts: &BTreeMap<PathBuf, String>,
        copy: &Copy,
    ) -> Result<Option<Question>, Error> {
        for (path, after) in texts {
            if path.extension().is_none_or(|end| end != "rs") {
                if self.manifest {
                    continue;
                }
                return Ok(Some(Question::Manifest));
            }
            let place = copy.root().join(path);
            let before = std::fs::read_to_string(&place)
                .map_err(|error| Error::file("read", &place, error))?;
            if let Some(question) = self.question_of(path, &before, after) {
                return Ok(Some(question));
            }
        }
        Ok(None)
    }

    fn question_of(self, path: &Path, before: &str, after: &str) -> Option<Question> {
        let (before, after) = (Surface::of(before)?, Surface::of(after)?);
        if !self.unsafety && before.unsafety != after.unsafety {
            return Some(Question::UnsafeCode);
        }
        // Programs, examples and benchmarks have no API.
        let is_library = !path.ends_with("src/main.rs") && path.iter().any(|part| part == "src");
        if is_library && !self.public_api && before.public != after.public {
            return Some(Question::PublicApi);
        }
        None
    }
}

/// What a file shows to others, and what it does without the compiler's protection.
#[derive(Debug, Default, PartialEq, Eq)]
struct Surface {
    public: BTreeSet<String>,
    unsafety: Vec<String>,
    path: Vec<String>,
}

impl Surface {
    fn of(text: &str) -> Option<Self> {
        let file = syn::parse_file(text).ok()?;
        let mut surface = Self::default();
        surface.visit_file(&file);
        Some(surface)
    }

    fn add(&mut self, visibility: &syn::Visibility, item: &impl ToTokens) {
        if matches!(visibility, syn::Visibility::Public(_)) {
            let place = self.path.join("::");
            self.public.insert(format!("{place} {}", item.to_token_stream()));
        }
    }
}

impl<'ast> Visit<'ast> for Surface {
    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        self.path.push(node.ident.to_string());
        visit::visit_item_mod(self, node);
        self.path.pop();
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        let name =
            format!("{} {}", node.generics.to_token_stream(), node.self_ty.to_token_stream());
        if let Some((path, _)) = &node.trait_ {
            self.public.insert(format!("impl {} for {name}", path.to_token_stream()));
        }
        self.path.push(name);
        visit::visit_item_impl(self, node);
        self.path.pop();
    }

    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.add(&node.vis, &node.sig);
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.add(&node.vis, &node.sig);
        visit::visit_impl_item_fn(self, node);
    }

    fn visit_item_struct(&mut self, node: &'ast syn::ItemStruct) {
        // Private fields are part of it: they decide which automatic traits the type has.
        self.add(&node.vis, node);
        visit::visit_item_struct(self, node);
    }

    fn visit_item_enum(&mut self, node: &'ast syn::ItemEnum) {
        self.add(&node.vis, node);
        visit::visit_item_enum(self, node);
    }

    fn visit_item_trait(&mut self, node: &'ast syn::ItemTrait) {
        self.add(&node.vis, node);
        visit::visit_item_trait(self, node);
    }

    fn visit_item_type(&mut self, node: &'ast syn::ItemType) {
        self.add(&node.vis, node);
    }

    fn visit_item_const(&mut self, node: &'ast syn::ItemConst) {
        self.add(&node.vis, node);
        visit::visit_item_const(self, node);
    }

    fn visit_item_static(&mut self, node: &'ast syn::ItemStatic) {
        self.add(&node.vis, node);
        visit::visit_item_static(self, node);
    }

    fn visit_item_use(&mut self, node: &'ast syn::ItemUse) {
        self.add(&node.vis, node);
    }

    fn visit_expr_unsafe(&mut self, node: &'ast syn::ExprUnsafe) {
        self.unsafety.push(node.to_token_stream().to_string());
        visit::visit_expr_unsafe(self, node);
    }

    fn visit_signature(&mut self, node: &'ast syn::Signature) {
        if matches!(node.safety, syn::Safety::Unsafe(_)) {
            self.unsafety.push(node.to_token_stream().to_string());
        }
        visit::visit_signature(self, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only place that knows the API.
    #[track_caller]
    fn check(path: &str, before: &str, after: &str, want: Option<Question>) {
        let got = Permissions::default().question_of(Path::new(path), before, after);
        assert_eq!(got, want);
        let all = Permissions { public_api: true, unsafety: true, manifest: true };
        assert_eq!(all.question_of(Path::new(path), before, after), None);
    }

    #[test]
    fn bodies_may_change() {
        check("src/lib.rs", "pub fn f() { a() }", "pub fn f() { b() }", None);
        check("src/lib.rs", "fn f(a: u8) {}", "fn f(a: u16) {}", None);
    }

    #[test]
    fn signatures_that_others_see_may_not() {
        let want = Some(Question::PublicApi);
        check("src/lib.rs", "pub fn f(a: u8) {}", "pub fn f(a: u16) {}", want);
        check("src/a.rs", "pub struct A { b: u8 }", "pub struct A { b: u16 }", want);
        check("src/a.rs", "pub mod m { pub fn f() {} }", "pub mod m { fn f() {} }", want);
        check("src/main.rs", "pub fn f(a: u8) {}", "pub fn f(a: u16) {}", None);
    }

    #[test]
    fn unsafe_code_stays_as_it_is() {
        let want = Some(Question::UnsafeCode);
        check("src/main.rs", "fn f() { g() }", "fn f() { unsafe { g() } }", want);
        check("src/main.rs", "fn f() { unsafe { g() } }", "fn f() { unsafe { h() } }", want);
        check("src/main.rs", "unsafe fn f() {}", "fn f() {}", want);
    }
}
