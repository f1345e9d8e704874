//! The derive macro of `pg_wire::value::FromRow`. Use it through the feature `derive` of `pg-wire`, which documents the macro.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Field, Fields, GenericParam, Lifetime, LitStr, Path, parse_macro_input};

/// Derives `FromRow` for a struct: see `pg_wire::value::FromRow`.
#[proc_macro_derive(FromRow, attributes(from_row))]
pub fn from_row(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    implement(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn implement(input: &DeriveInput) -> Result<TokenStream, Error> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "FromRow can be derived for a struct only"));
    };
    let settings = Settings::read(input)?;
    let by_name = match (&data.fields, settings.by_position) {
        (Fields::Named(_), by_position) => !by_position,
        (Fields::Unnamed(_), _) => false,
        (Fields::Unit, _) => {
            return Err(Error::new_spanned(&input.ident, "FromRow needs a struct with at least one field"));
        }
    };
    let fields: Vec<&Field> = data.fields.iter().collect();
    if fields.is_empty() {
        return Err(Error::new_spanned(&input.ident, "FromRow needs a struct with at least one field"));
    }
    let names: Vec<String> = if by_name {
        fields.iter().map(|field| column_name(field)).collect::<Result<_, _>>()?
    } else {
        Vec::new()
    };
    if !by_name {
        fields.iter().try_for_each(|field| reject_rename(field))?;
    }

    if let Some((at, name)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(Error::new_spanned(fields[at], format!("two fields are read from the column {name:?}")));
    }

    let (lifetime, generics) = generics(input, &settings.path)?;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let (_, type_generics, _) = input.generics.split_for_impl();
    let (ident, count, path) = (&input.ident, fields.len(), &settings.path);
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let members = data.fields.members();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #path::value::FromRow<#lifetime> for #ident #type_generics #where_clause {
            const COUNT: usize = #count;
            const NAMES: &'static [&'static str] = &[#(#names),*];

            #[inline(always)]
            fn read<__F: #path::value::Fields<#lifetime>>(fields: &mut __F) -> ::core::result::Result<Self, __F::Error> {
                ::core::result::Result::Ok(Self {
                    #(#members: #path::value::Fields::next::<#types>(fields)?,)*
                })
            }

            fn check<__C: #path::value::CheckTypes<#lifetime>>(
                types: &mut __C,
            ) -> ::core::result::Result<(), __C::Error> {
                #(#path::value::CheckTypes::next::<#types>(types)?;)*
                ::core::result::Result::Ok(())
            }
        }
    })
}

/// Returns the lifetime of the row, and the generics of the implementation. The lifetime of the row is the lifetime of the struct. If the
/// struct has no lifetime, a new lifetime is added. The implementation requires that each type parameter can be read as a value.
fn generics(input: &DeriveInput, path: &Path) -> Result<(Lifetime, syn::Generics), Error> {
    let mut generics = input.generics.clone();
    let mut lifetimes = input.generics.lifetimes();
    let lifetime = match (lifetimes.next(), lifetimes.next()) {
        (_, Some(second)) => {
            let message = "FromRow needs a struct with at most one lifetime: that of the row";
            return Err(Error::new_spanned(second, message));
        }
        (Some(parameter), None) => parameter.lifetime.clone(),
        (None, None) => {
            let lifetime = Lifetime::new("'__row", proc_macro2::Span::call_site());
            let parameter = GenericParam::Lifetime(syn::LifetimeParam::new(lifetime.clone()));
            generics.params.insert(0, parameter);
            lifetime
        }
    };
    let parameters: Vec<_> = input.generics.type_params().map(|parameter| &parameter.ident).collect();
    if !parameters.is_empty() {
        let clause = generics.make_where_clause();
        clause.predicates.extend(parameters.into_iter().map(|parameter| -> syn::WherePredicate {
            syn::parse_quote!(#parameter: #path::value::FromValue<#lifetime>)
        }));
    }
    Ok((lifetime, generics))
}

/// The settings in the attributes `#[from_row(…)]` of the struct.
struct Settings {
    by_position: bool,
    /// Path of the crate `pg_wire`.
    path: Path,
}

impl Settings {
    fn read(input: &DeriveInput) -> Result<Self, Error> {
        let mut settings = Self { by_position: false, path: syn::parse_quote!(::pg_wire) };
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("from_row")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("by_position") {
                    settings.by_position = true;
                } else if meta.path.is_ident("crate") {
                    settings.path = meta.value()?.parse::<LitStr>()?.parse()?;
                } else {
                    return Err(meta.error("expected `by_position` or `crate = \"path\"`"));
                }
                Ok(())
            })?;
        }
        Ok(settings)
    }
}

/// Returns the name of a field's column: the field's own name, or the name in `#[from_row(rename = "…")]`.
fn column_name(field: &Field) -> Result<String, Error> {
    if let Some(name) = rename(field)? {
        return Ok(name.value());
    }
    let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    Ok(name.strip_prefix("r#").map_or(name.clone(), ToOwned::to_owned))
}

fn reject_rename(field: &Field) -> Result<(), Error> {
    match rename(field)? {
        Some(name) => {
            Err(Error::new_spanned(name, "this struct is read by position, so a column has no name"))
        }
        None => Ok(()),
    }
}

fn rename(field: &Field) -> Result<Option<LitStr>, Error> {
    let mut name = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("from_row")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("expected `rename = \"column\"`"));
            }
            name = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(name)
}
