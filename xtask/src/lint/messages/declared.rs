//! Finds the declarations of messages, and of the parts of messages.

use anyhow::Result;
use proc_macro2::Ident;
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Expr, ExprLit, Fields, GenericParam, Generics, ImplItem, Item, ItemImpl, ItemStruct, Lit,
    LitInt, LitStr, Meta, Pat, Token, Type, Variant,
};

use crate::lint::source::{Source, at, attributes, is_test};

/// The declaration of a message or of a part of a message: a struct with fields, or an enum whose variants are kinds of the message.
pub(super) struct Declared {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) name: String,
    /// The name of the message in the manual and in traces. `None` if this name is also the name in Rust.
    pub(super) wire_name: Option<String>,
    /// The lines of the declaration's documentation, each with its line number.
    pub(super) docs: Vec<(usize, String)>,
    pub(super) role: Role,
    pub(super) shape: Shape,
    /// Names of the type parameters.
    pub(super) parameters: Vec<String>,
}

/// The kind of a declaration: message, packet, or part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A message with a code byte. The string is the name of the code's constant.
    Message(String),
    /// A packet without a code byte, which is sent at the start of a connection. The number is the packet's request code. `None` if the
    /// struct has a field for the request code.
    Packet(Option<u32>),
    /// A part of a message: a field, or an item of a list.
    Part,
}

/// The fields or the variants of a declaration.
pub(super) enum Shape {
    /// A struct with named fields: the name and the type of each field.
    Named(Vec<(String, Type)>),
    /// A tuple struct with one field.
    Around(Box<Type>),
    /// The variants of an enum, each with the number that `fn kind` returns.
    Kinds(Vec<(Variant, Option<u32>)>),
}

impl Declared {
    pub(super) fn is_message(&self) -> bool {
        self.role != Role::Part
    }

    /// The manual's name for the message or for the part of a message.
    pub(super) fn manual_name(&self) -> &str {
        self.wire_name.as_deref().unwrap_or(&self.name)
    }
}

/// Finds the messages and the parts of messages in `sources`. They are declared by `message!`, by `request!`, or by hand: as a type with an
/// `impl` of `Decode` or `Field`.
pub(super) fn declared(sources: &[&Source]) -> Result<Vec<Declared>> {
    let mut found = Vec::new();
    for source in sources {
        let items = || source.code.items.iter().filter(|item| !is_test(attributes(item)));
        for item in items() {
            if let Item::Macro(call) = item
                && call.mac.path.is_ident("message")
            {
                let parsed: ByMacro = call
                    .mac
                    .parse_body()
                    .map_err(|error| at(&source.path, error.span(), &error.to_string()))?;
                let role = Role::Message(parsed.code.to_string());
                let mut declared = by_hand(source, &parsed.item, role);
                declared.wire_name = parsed.wire_name.map(|name| name.value());
                found.push(declared);
            }
            if let Item::Macro(call) = item
                && call.mac.path.is_ident("request")
            {
                let parsed: Request = call
                    .mac
                    .parse_body()
                    .map_err(|error| at(&source.path, error.span(), &error.to_string()))?;
                found.push(Declared {
                    file: source.path.clone(),
                    line: parsed.name.span().start().line,
                    name: parsed.name.to_string(),
                    wire_name: Some(parsed.wire_name.value()),
                    docs: docs(&parsed.attributes),
                    role: Role::Packet(Some(MAJOR_OF_REQUESTS << 16 | parsed.minor.base10_parse::<u32>()?)),
                    shape: Shape::Named(Vec::new()),
                    parameters: Vec::new(),
                });
            }
        }
        let impls: Vec<&ItemImpl> =
            items().filter_map(|item| if let Item::Impl(item) = item { Some(item) } else { None }).collect();
        for item in items() {
            match item {
                Item::Struct(item) => {
                    if let Some((role, wire_name)) = role(&item.ident, &impls) {
                        found.push(Declared { wire_name, ..by_hand(source, item, role) });
                    }
                }
                Item::Enum(item) => {
                    let Some((role, wire_name)) = role(&item.ident, &impls) else { continue };
                    let numbers = numbers(&item.ident, &impls);
                    let number = |name: &Ident| {
                        numbers.iter().find(|(variant, _)| name == variant).map(|(_, number)| *number)
                    };
                    let kinds = item.variants.iter().map(|variant| (variant.clone(), number(&variant.ident)));
                    found.push(Declared {
                        file: source.path.clone(),
                        line: item.ident.span().start().line,
                        name: item.ident.to_string(),
                        wire_name,
                        docs: docs(&item.attrs),
                        role,
                        shape: Shape::Kinds(kinds.collect()),
                        parameters: parameters(&item.generics),
                    });
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

fn by_hand(source: &Source, item: &ItemStruct, role: Role) -> Declared {
    let named = |field: &syn::Field| Some((field.ident.as_ref()?.to_string(), field.ty.clone()));
    let shape = match &item.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            Shape::Around(Box::new(fields.unnamed[0].ty.clone()))
        }
        fields => Shape::Named(fields.iter().filter_map(named).collect()),
    };
    Declared {
        file: source.path.clone(),
        line: item.ident.span().start().line,
        name: item.ident.to_string(),
        wire_name: None,
        docs: docs(&item.attrs),
        role,
        shape,
        parameters: parameters(&item.generics),
    }
}

/// The content of a call of `message!`: attributes, code, optionally the name in the manual, `=>`, and a struct.
struct ByMacro {
    code: Ident,
    wire_name: Option<LitStr>,
    item: ItemStruct,
}

impl Parse for ByMacro {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = Attribute::parse_outer(input)?;
        let code = input.parse()?;
        let wire_name = if input.peek(LitStr) { Some(input.parse()?) } else { None };
        input.parse::<Token![=>]>()?;
        let mut item: ItemStruct = input.parse()?;
        item.attrs = attributes;
        Ok(Self { code, wire_name, item })
    }
}

/// The upper half of every request code. The server reads the request code where it expects the protocol version, so this half is at the
/// place of the major version.
const MAJOR_OF_REQUESTS: u32 = 1234;

/// The content of a call of `request!`: attributes, name, name in the manual, minor number of the request code.
struct Request {
    attributes: Vec<Attribute>,
    name: Ident,
    wire_name: LitStr,
    minor: LitInt,
}

impl Parse for Request {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attributes: Attribute::parse_outer(input)?,
            name: input.parse()?,
            wire_name: input.parse()?,
            minor: input.parse()?,
        })
    }
}

/// Returns the role and the manual's name of a type that is declared by hand. Both are found in the type's `impl`s. `None` if the type is
/// neither a message nor a part of a message.
fn role(name: &Ident, impls: &[&ItemImpl]) -> Option<(Role, Option<String>)> {
    let of = || impls.iter().filter(|item| is_type(&item.self_ty, name));
    let with = |wanted: &str| {
        of().find(|item| {
            item.trait_
                .as_ref()
                .is_some_and(|(_, path, _)| path.segments.last().is_some_and(|last| last.ident == wanted))
        })
    };
    if let Some(decode) = with("Decode") {
        let constant = |wanted: &str| {
            decode.items.iter().find_map(|item| match item {
                ImplItem::Const(item) if item.ident == wanted => Some(&item.expr),
                _ => None,
            })
        };
        let wire_name = match constant("NAME") {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(name), .. })) => Some(name.value()),
            _ => None,
        };
        let request = of().find_map(|item| {
            item.items.iter().find_map(|item| match item {
                ImplItem::Const(item) if item.ident == "REQUEST" => request_code(&item.expr),
                _ => None,
            })
        });
        let role = match constant("CODE") {
            // The constant `CODE` has the form `Some(MessageCode::NAME)`.
            Some(Expr::Call(call)) => match call.args.first() {
                Some(Expr::Path(path)) => Role::Message(path.path.segments.last()?.ident.to_string()),
                _ => return None,
            },
            _ => Role::Packet(request),
        };
        return Some((role, wire_name));
    }
    with("Field").map(|_| (Role::Part, None))
}

/// Computes the request code from the expression `ProtocolVersion::new(major, minor)`.
fn request_code(expr: &Expr) -> Option<u32> {
    let Expr::Call(call) = expr else { return None };
    let mut numbers = call.args.iter().map(number);
    Some(numbers.next()?? << 16 | numbers.next()??)
}

fn number(expr: &Expr) -> Option<u32> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok(),
        _ => None,
    }
}

/// The variants of an enum with their numbers, from the arms of its `fn kind`.
fn numbers(name: &Ident, impls: &[&ItemImpl]) -> Vec<(String, u32)> {
    let own = impls.iter().filter(|item| item.trait_.is_none() && is_type(&item.self_ty, name));
    let kind = own.flat_map(|item| &item.items).find_map(|item| match item {
        ImplItem::Fn(function) if function.sig.ident == "kind" => function.block.stmts.last(),
        _ => None,
    });
    let Some(syn::Stmt::Expr(Expr::Match(arms), _)) = kind else { return Vec::new() };
    let variant = |pat: &Pat| {
        let path = match pat {
            Pat::Path(pat) => &pat.path,
            Pat::Struct(pat) => &pat.path,
            Pat::TupleStruct(pat) => &pat.path,
            _ => return None,
        };
        Some(path.segments.last()?.ident.to_string())
    };
    arms.arms.iter().filter_map(|arm| Some((variant(&arm.pat)?, number(&arm.body)?))).collect()
}

fn is_type(ty: &Type, name: &Ident) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == *name))
}

fn parameters(generics: &Generics) -> Vec<String> {
    let types = generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Type(parameter) => Some(parameter.ident.to_string()),
        _ => None,
    });
    types.collect()
}

/// The lines of the documentation comments, each with its line number.
pub(super) fn docs(attributes: &[Attribute]) -> Vec<(usize, String)> {
    let docs = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
                Some((text.span().start().line, text.value().trim().to_owned()))
            }
            _ => None,
        },
        _ => None,
    });
    docs.collect()
}
