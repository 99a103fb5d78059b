//! Owns: a compiled JSON Schema, a template's `input_schema` or an event's, and the words for a value that does not fit it.
//! Refuses: fetching anything, and repeating the value, which may be a secret.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use boon::{CompileError, Compiler, Draft, ErrorKind as Kind, SchemaIndex, Schemas, Types, UrlLoader, ValidationError};
use serde_json::Value;

use super::problems::{listed, quoted, shown};

/// The most violations one message lists.
const LISTED: usize = 20;
/// What `type` may say.
const TYPES: &str = "array, boolean, integer, null, number, object and string";

/// The name under which a schema is compiled; a relative reference begins with its folder.
const FOLDER: &str = "template:///";
const NAME: &str = "template:///input_schema";

/// The compiled schema where there is one. Two of them always compare as equal: they are derived from the document, which
/// is compared.
#[derive(Clone, Default)]
pub(super) struct Schema(Option<Arc<(Schemas, SchemaIndex)>>);

impl PartialEq for Schema {
    fn eq(&self, _other: &Schema) -> bool {
        true
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Schema(compiled)" } else { "Schema(none)" })
    }
}

/// One value that does not fit.
pub(super) struct Violation {
    /// JSON pointer of the value, or of the place where it is missing.
    pub(super) pointer: String,
    /// What the schema asks for there.
    pub(super) rule: String,
}

/// References that lead out of the schema lead nowhere.
struct NoLoader;

impl UrlLoader for NoLoader {
    fn load(&self, _url: &str) -> Result<Value, Box<dyn Error>> {
        Err("not fetched".into())
    }
}

impl Schema {
    /// Compiles the schema. `format` is checked, unknown formats are let through, and `$ref` leads
    /// only to places inside the schema. `field` is what the template calls it.
    pub(super) fn compile(field: &str, schema: &Value) -> Result<Schema, String> {
        if let Some((place, pattern)) = oversized(schema, "") {
            return Err(no_schema(field, &place, &format!("{} takes too much memory as a pattern", shown(&pattern))));
        }
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.enable_format_assertions();
        compiler.use_loader(Box::new(NoLoader));
        let mut schemas = Schemas::new();
        let compiled = compiler.add_resource(NAME, schema.clone()).and_then(|()| compiler.compile(NAME, &mut schemas));
        match compiled {
            Ok(index) => Ok(Schema(Some(Arc::new((schemas, index))))),
            Err(error) => Err(refusal(field, schema, &error)),
        }
    }

    /// Every violation, in the context's order, and how many more there are.
    pub(super) fn violations(&self, context: &Value) -> (Vec<Violation>, usize) {
        let Some(compiled) = &self.0 else {
            return (Vec::new(), 0);
        };
        let mut all = Vec::new();
        if let Err(error) = compiled.0.validate(context, compiled.1) {
            words(&error, context, &mut all);
        }
        let unlisted = all.len().saturating_sub(LISTED);
        all.truncate(LISTED);
        (all, unlisted)
    }
}

/// The first pattern that is too large, and where it is: boon takes that for a fault of its own.
fn oversized(schema: &Value, place: &str) -> Option<(String, String)> {
    let too_large = |pattern: &str| matches!(regex::Regex::new(pattern), Err(regex::Error::CompiledTooBig(_)));
    let inside = |name: &str, inner: &Value| {
        let place = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
        match inner {
            Value::String(pattern) if name == "pattern" && too_large(pattern) => Some((place, pattern.clone())),
            Value::Object(fields) if name == "patternProperties" => match fields.keys().find(|key| too_large(key)) {
                Some(pattern) => Some((place, pattern.clone())),
                None => oversized(inner, &place),
            },
            _ => oversized(inner, &place),
        }
    };
    match schema {
        Value::Object(fields) => fields.iter().find_map(|(name, inner)| inside(name, inner)),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, inner)| inside(&index.to_string(), inner)),
        _ => None,
    }
}

/// Why a schema is not taken. Its values are no secrets.
fn refusal(field: &str, schema: &Value, error: &CompileError) -> String {
    match error {
        CompileError::LoadUrlError { url, .. } | CompileError::UnsupportedDraft { url }
            if dialect(schema) == Some(url) =>
        {
            format!(
                "{field}: `$schema` names the unknown dialect {}; leave it out or write \
                 `https://json-schema.org/draft/2020-12/schema`",
                quoted(url)
            )
        }
        CompileError::LoadUrlError { url, .. } => format!(
            "{field} refers to {}; remote references are not fetched: copy that schema \
             under `$defs` and refer to it as `#/$defs/its_name`",
            quoted(url.strip_prefix(FOLDER).unwrap_or(url))
        ),
        CompileError::ValidationError { src, .. } => {
            let mut first = leaf(src);
            let mut place = first.instance_location.to_string();
            let mut value = schema.pointer(&place).unwrap_or(schema).to_string();
            if let (Kind::PropertyName { prop }, Some(cause)) = (&first.kind, first.causes.first()) {
                (place, value) = (holder(schema, prop), prop.clone());
                first = leaf(cause);
            }
            let what = match (&first.kind, place.rsplit('/').next()) {
                (_, Some("type")) => format!("{} is no type; the types are {TYPES}", shown(&value)),
                (Kind::Format { want: "regex", err, .. }, _) => no_pattern(&value, err.as_ref()),
                (kind, _) => format!("{} {}", shown(&value), rule(kind, &first.causes)),
            };
            no_schema(field, &place, &what)
        }
        CompileError::InvalidRegex { url, regex, src } => {
            let place = url.split_once('#').map_or("", |(_, place)| place);
            no_schema(field, place, &no_pattern(regex, src.as_ref()))
        }
        other => no_schema(field, "", &other.to_string().replace(NAME, "").replace(FOLDER, "")),
    }
}

fn dialect(schema: &Value) -> Option<&str> {
    schema.get("$schema")?.as_str().map(|url| url.trim_end_matches('#'))
}

fn no_schema(field: &str, place: &str, what: &str) -> String {
    let place = if place.is_empty() { "the top".to_owned() } else { quoted(place) };
    format!(
        "{field} is no JSON Schema: at {place}: {what}; correct it there \
         (https://json-schema.org/understanding-json-schema)"
    )
}

/// Patterns are matched in time linear in the text, which some of ECMA-262's cannot be.
fn no_pattern(pattern: &str, error: &(dyn Error + 'static)) -> String {
    let said = error.to_string();
    let pattern = shown(pattern);
    if said.contains("look-around") {
        return format!(
            "{pattern} looks ahead or behind (`(?=`, `(?!`, `(?<=`, `(?<!`), which patterns cannot do here: write \
             several patterns under `allOf`, or `not`"
        );
    }
    if said.contains("backreference") {
        return format!("{pattern} refers back to a group, which patterns cannot do here");
    }
    let last = said.lines().last().unwrap_or_default();
    format!("{pattern} is no pattern: {}", last.trim_start_matches("error: "))
}

/// The first thing that is wrong, without what only leads to it.
fn leaf<'a, 's, 'v>(error: &'a ValidationError<'s, 'v>) -> &'a ValidationError<'s, 'v> {
    match error.causes.first() {
        Some(cause) if leads_on(&error.kind) => leaf(cause),
        _ => error,
    }
}

fn leads_on(kind: &Kind<'_, '_>) -> bool {
    matches!(kind, Kind::Group | Kind::Schema { .. } | Kind::Reference { .. } | Kind::AllOf | Kind::ContentSchema)
}

fn words(error: &ValidationError<'_, '_>, context: &Value, all: &mut Vec<Violation>) {
    let here = error.instance_location.to_string();
    let mut inside = |name: &str, rule: &str| {
        let pointer = format!("{here}/{}", name.replace('~', "~0").replace('/', "~1"));
        all.push(Violation { pointer, rule: rule.to_owned() });
    };
    match &error.kind {
        kind if leads_on(kind) && !error.causes.is_empty() => {
            error.causes.iter().for_each(|cause| words(cause, context, all));
        }
        Kind::Required { want } => want.iter().for_each(|name| inside(name, "is required")),
        Kind::DependentRequired { missing, .. } | Kind::Dependency { missing, .. } => {
            missing.iter().for_each(|name| inside(name, "is required"));
        }
        Kind::AdditionalProperties { got } => got.iter().for_each(|name| inside(name, "is not allowed here")),
        // Here boon does not say where the object is.
        kind @ Kind::PropertyName { prop } => {
            all.push(Violation { pointer: holder(context, prop), rule: rule(kind, &error.causes) });
        }
        kind => all.push(Violation { pointer: here, rule: rule(kind, &error.causes) }),
    }
}

/// Where in `value` there is the only object with the property `name`; the top if there are several.
fn holder(value: &Value, name: &str) -> String {
    let mut places = Vec::new();
    holders(value, name, "", &mut places);
    if places.len() == 1 {
        places.remove(0)
    } else {
        String::new()
    }
}

/// Where in `value` there are objects with the property `name`.
fn holders(value: &Value, name: &str, place: &str, found: &mut Vec<String>) {
    if value.get(name).is_some() {
        found.push(place.to_owned());
    }
    match value {
        Value::Object(fields) => {
            for (field, inner) in fields {
                let field = field.replace('~', "~0").replace('/', "~1");
                holders(inner, name, &format!("{place}/{field}"), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                holders(inner, name, &format!("{place}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// What the schema asks for; nothing in it comes from the context.
fn rule(kind: &Kind<'_, '_>, causes: &[ValidationError<'_, '_>]) -> String {
    match kind {
        Kind::Type { want, .. } => format!("must be {}", types(want)),
        Kind::Enum { want } => format!("must be one of {}", shown(&Value::Array(want.to_vec()).to_string())),
        Kind::Const { want } => format!("must be {}", shown(&want.to_string())),
        Kind::Format { want, .. } => format!("must have the format {}", quoted(want)),
        Kind::Pattern { want, .. } => format!("must match the pattern {}", quoted(want)),
        Kind::Minimum { want, .. } => format!("must be at least {want}"),
        Kind::Maximum { want, .. } => format!("must be at most {want}"),
        Kind::ExclusiveMinimum { want, .. } => format!("must be more than {want}"),
        Kind::ExclusiveMaximum { want, .. } => format!("must be less than {want}"),
        Kind::MultipleOf { want, .. } => format!("must be a multiple of {want}"),
        Kind::MinLength { want, .. } => format!("must have at least {want} characters"),
        Kind::MaxLength { want, .. } => format!("must have at most {want} characters"),
        Kind::MinItems { want, .. } => format!("must have at least {want} items"),
        Kind::MaxItems { want, .. } => format!("must have at most {want} items"),
        Kind::AdditionalItems { .. } => "must not have further items".to_owned(),
        Kind::MinProperties { want, .. } => format!("must have at least {want} properties"),
        Kind::MaxProperties { want, .. } => format!("must have at most {want} properties"),
        Kind::UniqueItems { .. } => "must not have the same item twice".to_owned(),
        Kind::Contains => "must have an item that fits `contains`".to_owned(),
        Kind::MinContains { want, .. } => format!("must have at least {want} items that fit `contains`"),
        Kind::MaxContains { want, .. } => format!("must have at most {want} items that fit `contains`"),
        Kind::FalseSchema => "is not allowed here".to_owned(),
        Kind::Not => "must not fit the schema under `not`".to_owned(),
        Kind::AnyOf => "must fit at least one schema of `anyOf`".to_owned(),
        Kind::OneOf(None) => "must fit one schema of `oneOf`, but fits none".to_owned(),
        Kind::OneOf(Some(_)) => "must fit exactly one schema of `oneOf`, but fits several".to_owned(),
        Kind::PropertyName { .. } => match causes.first().map(leaf) {
            Some(first) => format!("has a property whose name {}", rule(&first.kind, &first.causes)),
            None => "has a property whose name does not fit `propertyNames`".to_owned(),
        },
        Kind::RefCycle { .. } => "cannot be checked: the schema refers to itself without end".to_owned(),
        _ => "does not fit the schema".to_owned(),
    }
}

fn types(types: &Types) -> String {
    let names: Vec<String> = types.iter().map(|one| one.to_string()).collect();
    match names.as_slice() {
        [one] => format!("of the type {one}"),
        several => format!("of one of the types {}", listed(several.iter().map(String::as_str))),
    }
}
