//! What a function's text says, as plain lists: bindings, loops, calls, mentions.
//!
//! Rules read these lists and never the syntax tree. There are no types here, only what a binding
//! is declared or started as ([`Local::type_head`]); a rule that guesses wrong makes a candidate
//! that does not compile, and the judge throws it out.

use std::ops::Range;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A range of bytes in the file.
pub(super) type Bytes = Range<usize>;

/// One function, closures included.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) is_async: bool,
    /// The function without its attributes.
    pub(super) whole: Bytes,
    pub(super) body: Bytes,
    pub(super) locals: Vec<Local>,
    pub(super) loops: Vec<Loop>,
    pub(super) calls: Vec<Call>,
    pub(super) macros: Vec<MacroUse>,
    pub(super) awaits: Vec<Bytes>,
    /// Every place where a name is used as a value.
    pub(super) mentions: Vec<(String, Bytes)>,
}

/// A parameter or a `let` of a single name.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub(super) name: String,
    /// The pattern and, for a `let`, everything up to the semicolon.
    pub(super) statement: Bytes,
    pub(super) declared_type: Option<Bytes>,
    /// The type's last path segment, declared or guessed from the first value; empty if unknown.
    pub(super) type_head: String,
    /// The whole type as text without spaces, declared or guessed.
    pub(super) type_text: String,
    pub(super) value: Option<Bytes>,
    /// The innermost loop around the declaration.
    pub(super) in_loop: Option<usize>,
}

/// A loop, or a closure that an iterator calls for each item.
#[derive(Debug, Clone)]
pub(super) struct Loop {
    pub(super) whole: Bytes,
    /// The statement that the loop is part of: what must stand before the loop goes before it.
    pub(super) statement: Bytes,
    /// What a `for` goes over.
    pub(super) over: Option<Bytes>,
    pub(super) outer: Option<usize>,
    pub(super) is_closure: bool,
}

/// A call of a method, a function or a constructor.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) whole: Bytes,
    /// The method's or function's last name.
    pub(super) name: String,
    /// The path as text without spaces, for what is no method: `Vec::new`.
    pub(super) path: String,
    /// What the method is called on.
    pub(super) receiver: Option<Bytes>,
    /// The receiver, where it is a plain name or a field of `self`.
    pub(super) receiver_name: Option<String>,
    pub(super) args: Vec<Bytes>,
    pub(super) in_loop: Option<usize>,
    pub(super) statement: Bytes,
}

/// A use of a macro whose arguments are expressions.
#[derive(Debug, Clone)]
pub(super) struct MacroUse {
    pub(super) whole: Bytes,
    pub(super) name: String,
    pub(super) args: Vec<Bytes>,
    pub(super) in_loop: Option<usize>,
    pub(super) statement: Bytes,
}

impl Facts {
    /// Returns the local that a name means at a place: the last one declared before it.
    pub(super) fn local(&self, name: &str, at: usize) -> Option<&Local> {
        let before = |local: &&Local| local.name == name && local.statement.start <= at;
        self.locals.iter().filter(before).max_by_key(|local| local.statement.start)
    }

    /// Returns the outermost loop around a place that does not also hold the declaration `local`.
    pub(super) fn loop_outside(&self, place: Option<usize>, local: &Local) -> Option<usize> {
        std::iter::successors(place, |&index| self.loops[index].outer)
            .take_while(|&index| !self.loops[index].whole.contains(&local.statement.start))
            .last()
    }

    /// Returns every mention of a name within `bytes`.
    pub(super) fn mentions_in<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a Bytes,
    ) -> impl Iterator<Item = &'a Bytes> {
        self.mentions
            .iter()
            .filter(move |(other, place)| other == name && bytes.contains(&place.start))
            .map(|(_, place)| place)
    }

    /// Returns the calls of methods on a name within `bytes`.
    pub(super) fn calls_on<'a>(
        &'a self,
        name: &'a str,
        bytes: &'a Bytes,
    ) -> impl Iterator<Item = &'a Call> {
        self.calls.iter().filter(move |call| {
            call.receiver_name.as_deref() == Some(name) && bytes.contains(&call.whole.start)
        })
    }
}

/// Returns the facts of every function in a file, with methods and nested functions on their own.
pub(super) fn facts(file: &syn::File) -> Vec<Facts> {
    let mut collector = Collector::default();
    collector.visit_file(file);
    collector.done
}

#[derive(Default)]
struct Collector {
    done: Vec<Facts>,
    open: Vec<Open>,
}

/// The function that is being read.
#[derive(Default)]
struct Open {
    facts: Facts,
    in_loop: Option<usize>,
    statement: Bytes,
}

impl Collector {
    fn function(&mut self, signature: &syn::Signature, body: &syn::Block, whole: Bytes) {
        let facts = Facts {
            is_async: signature.asyncness.is_some(),
            whole,
            body: bytes(body),
            ..Facts::default()
        };
        self.open.push(Open { facts, ..Open::default() });
        for input in &signature.inputs {
            if let syn::FnArg::Typed(typed) = input {
                self.parameter(&typed.pat, Some(&typed.ty));
            }
        }
        self.visit_block(body);
        if let Some(open) = self.open.pop() {
            self.done.push(open.facts);
        }
    }

    fn parameter(&mut self, pattern: &syn::Pat, ty: Option<&syn::Type>) {
        let Some(open) = self.open.last_mut() else { return };
        let syn::Pat::Ident(ident) = pattern else { return };
        let type_text = ty.map(text).unwrap_or_default();
        open.facts.locals.push(Local {
            name: ident.ident.to_string(),
            statement: bytes(pattern),
            declared_type: ty.map(bytes),
            type_head: head(&type_text),
            type_text,
            value: None,
            in_loop: open.in_loop,
        });
    }

    fn within_loop(
        &mut self,
        whole: Bytes,
        over: Option<Bytes>,
        is_closure: bool,
        walk: impl FnOnce(&mut Self),
    ) {
        let Some(open) = self.open.last_mut() else { return };
        let outer = open.in_loop;
        let statement = open.statement.clone();
        open.facts.loops.push(Loop { whole, statement, over, outer, is_closure });
        open.in_loop = Some(open.facts.loops.len() - 1);
        walk(self);
        if let Some(open) = self.open.last_mut() {
            open.in_loop = outer;
        }
    }

    fn add_macro(&mut self, node: &syn::Macro) {
        let Some(open) = self.open.last_mut() else { return };
        let name = node.path.segments.last().map(|last| last.ident.to_string());
        let parser = Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        // What does not parse is a language of its own, and nothing a rule would understand.
        let Ok(args) = parser.parse2(node.tokens.clone()) else { return };
        open.facts.macros.push(MacroUse {
            whole: bytes(node),
            name: name.unwrap_or_default(),
            args: args.iter().map(bytes).collect(),
            in_loop: open.in_loop,
            statement: open.statement.clone(),
        });
        for name in inline_arguments(&node.tokens) {
            open.facts.mentions.push((name, bytes(node)));
        }
        for arg in &args {
            self.visit_expr(arg);
        }
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        let start = bytes(&node.vis).start.min(bytes(&node.sig).start);
        self.function(&node.sig, &node.block, start..bytes(&node.block).end);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        let start = bytes(&node.sig).start;
        self.function(&node.sig, &node.block, start..bytes(&node.block).end);
    }

    fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
        if let Some(block) = &node.default {
            self.function(&node.sig, block, bytes(&node.sig).start..bytes(block).end);
        }
    }

    fn visit_stmt(&mut self, node: &'ast syn::Stmt) {
        let Some(open) = self.open.last_mut() else { return visit::visit_stmt(self, node) };
        let outer = std::mem::replace(&mut open.statement, bytes(node));
        visit::visit_stmt(self, node);
        if let Some(open) = self.open.last_mut() {
            open.statement = outer;
        }
    }

    fn visit_local(&mut self, node: &'ast syn::Local) {
        visit::visit_local(self, node);
        let Some(open) = self.open.last_mut() else { return };
        let (pattern, ty) = match &node.pat {
            syn::Pat::Type(typed) => (typed.pat.as_ref(), Some(typed.ty.as_ref())),
            pattern => (pattern, None),
        };
        let syn::Pat::Ident(ident) = pattern else { return };
        let value = node.init.as_ref().map(|init| init.expr.as_ref());
        let type_text = match ty.map(text) {
            Some(declared) if !declared.is_empty() && declared != "_" => declared,
            _ => value.and_then(guess).unwrap_or_default(),
        };
        open.facts.locals.push(Local {
            name: ident.ident.to_string(),
            statement: bytes(node),
            declared_type: ty.map(bytes),
            type_head: head(&type_text),
            type_text,
            value: value.map(bytes),
            in_loop: open.in_loop,
        });
    }

    fn visit_expr_for_loop(&mut self, node: &'ast syn::ExprForLoop) {
        self.visit_expr(&node.expr);
        self.within_loop(bytes(node), Some(bytes(&node.expr)), false, |collector| {
            collector.parameter(&node.pat, None);
            collector.visit_block(&node.body);
        });
    }

    fn visit_expr_while(&mut self, node: &'ast syn::ExprWhile) {
        self.within_loop(bytes(node), None, false, |collector| {
            visit::visit_expr_while(collector, node);
        });
    }

    fn visit_expr_loop(&mut self, node: &'ast syn::ExprLoop) {
        self.within_loop(bytes(node), None, false, |collector| {
            visit::visit_expr_loop(collector, node);
        });
    }

    fn visit_expr_method_call(&mut self, node: &'ast syn::ExprMethodCall) {
        self.visit_expr(&node.receiver);
        let name = node.method.to_string();
        if let Some(open) = self.open.last_mut() {
            open.facts.calls.push(Call {
                whole: bytes(node),
                name: name.clone(),
                path: String::new(),
                receiver: Some(bytes(&node.receiver)),
                receiver_name: plain_name(&node.receiver),
                args: node.args.iter().map(bytes).collect(),
                in_loop: open.in_loop,
                statement: open.statement.clone(),
            });
        }
        let is_per_item = PER_ITEM.contains(&name.as_str());
        for arg in &node.args {
            match arg {
                syn::Expr::Closure(closure) if is_per_item => {
                    self.within_loop(bytes(closure), None, true, |collector| {
                        collector.visit_expr(&closure.body);
                    });
                }
                arg => self.visit_expr(arg),
            }
        }
    }

    fn visit_expr_call(&mut self, node: &'ast syn::ExprCall) {
        if let (Some(open), syn::Expr::Path(path)) = (self.open.last_mut(), node.func.as_ref()) {
            let last = path.path.segments.last();
            open.facts.calls.push(Call {
                whole: bytes(node),
                name: last.map(|last| last.ident.to_string()).unwrap_or_default(),
                path: text(&path.path),
                receiver: None,
                receiver_name: None,
                args: node.args.iter().map(bytes).collect(),
                in_loop: open.in_loop,
                statement: open.statement.clone(),
            });
        }
        visit::visit_expr_call(self, node);
    }

    fn visit_expr_await(&mut self, node: &'ast syn::ExprAwait) {
        if let Some(open) = self.open.last_mut() {
            open.facts.awaits.push(bytes(node));
        }
        visit::visit_expr_await(self, node);
    }

    fn visit_expr_path(&mut self, node: &'ast syn::ExprPath) {
        if let (Some(open), Some(ident)) = (self.open.last_mut(), node.path.get_ident()) {
            open.facts.mentions.push((ident.to_string(), bytes(node)));
        }
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.add_macro(node);
    }
}

/// Returns the bytes of a node in its file.
fn bytes(node: &(impl Spanned + ?Sized)) -> Bytes {
    node.span().byte_range()
}

/// Returns a node as text without spaces.
fn text(node: &(impl ToTokens + ?Sized)) -> String {
    let mut text = node.to_token_stream().to_string();
    text.retain(|c| !c.is_whitespace());
    text
}

/// Returns `Vec` of `&mut std::vec::Vec<u8>`.
fn head(type_text: &str) -> String {
    let bare = type_text.trim_start_matches('&').trim_start_matches("mut");
    let path = bare.split('<').next().unwrap_or(bare);
    path.rsplit("::").next().unwrap_or(path).to_owned()
}

/// Returns the type that a first value shows: `Vec::new()`, `vec![]`, `.collect::<T>()`.
fn guess(value: &syn::Expr) -> Option<String> {
    match value {
        syn::Expr::Call(call) => {
            let path = text(&call.func);
            let (ty, _constructor) = path.rsplit_once("::")?;
            Some(ty.replace("::<", "<"))
        }
        syn::Expr::Macro(call) if call.mac.path.is_ident("vec") => Some("Vec".to_owned()),
        syn::Expr::Macro(call) if call.mac.path.is_ident("format") => Some("String".to_owned()),
        syn::Expr::MethodCall(call) if call.method == "collect" => {
            call.turbofish.as_ref().map(|generics| text(&generics.args))
        }
        syn::Expr::MethodCall(call) if call.method == "to_string" => Some("String".to_owned()),
        syn::Expr::MethodCall(call) if ["unwrap", "expect"].iter().any(|m| call.method == m) => {
            guess(&call.receiver)
        }
        syn::Expr::Try(expr) => guess(&expr.expr),
        syn::Expr::Reference(expr) => guess(&expr.expr),
        _ => None,
    }
}

/// Returns the name in `name`, and `self.name` in `self.name`.
fn plain_name(expr: &syn::Expr) -> Option<String> {
    match expr {
        syn::Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        syn::Expr::Field(field) => {
            let base = plain_name(&field.base).filter(|base| base == "self")?;
            Some(format!("{base}.{}", field.member.to_token_stream()))
        }
        _ => None,
    }
}

/// Returns the names that a format string mentions in braces.
fn inline_arguments(tokens: &TokenStream) -> Vec<String> {
    let Some(proc_macro2::TokenTree::Literal(literal)) = tokens.clone().into_iter().next() else {
        return Vec::new();
    };
    let literal = literal.to_string();
    literal
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split(['}', ':']).next())
        .filter(|name| name.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_'))
        .map(str::to_owned)
        .collect()
}

/// Methods that call their closure for each item.
const PER_ITEM: [&str; 20] = [
    "all",
    "any",
    "filter",
    "filter_map",
    "find",
    "find_map",
    "flat_map",
    "fold",
    "for_each",
    "inspect",
    "map",
    "map_while",
    "max_by_key",
    "min_by_key",
    "position",
    "retain",
    "scan",
    "skip_while",
    "sort_by_key",
    "take_while",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Facts {
        facts(&syn::parse_file(text).unwrap()).remove(0)
    }

    #[test]
    fn types_are_read_from_declarations_and_first_values() {
        let text = "fn f(a: &mut std::vec::Vec<u8>) { let b = Vec::new(); let c: String = g();
            let d = vec![1]; let e = x.collect::<Vec<_>>(); let h = g(); let i = File::open(p)?; }";
        let facts = only(text);
        let heads: Vec<&str> = facts.locals.iter().map(|l| l.type_head.as_str()).collect();
        assert_eq!(heads, ["Vec", "Vec", "String", "Vec", "Vec", "", "File"]);
    }

    #[test]
    fn loops_nest_and_closures_of_iterators_are_loops() {
        let facts = only("fn f() { for a in b { c.iter().any(|d| d.e()); } g(); }");
        let call = |name: &str| facts.calls.iter().find(|call| call.name == name).unwrap();
        assert_eq!((call("any").in_loop, call("e").in_loop), (Some(0), Some(1)));
        assert_eq!(facts.loops[1].outer, Some(0));
        assert_eq!(call("g").in_loop, None);
    }

    #[test]
    fn macros_mention_what_they_print() {
        let facts = only("fn f() { println!(\"{a} {}\", b.c()); }");
        let names: Vec<&str> = facts.mentions.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(facts.macros[0].name, "println");
        assert_eq!(facts.calls[0].name, "c");
    }

    #[test]
    fn bytes_are_places_in_the_text() {
        let text = "// äöü\nfn f() { v.remove(0); }";
        let facts = only(text);
        assert_eq!(&text[facts.calls[0].whole.clone()], "v.remove(0)");
        assert_eq!(&text[facts.calls[0].statement.clone()], "v.remove(0);");
    }
}
