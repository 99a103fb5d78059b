//! Owns: the compiled `input_schema` and the words for a context that does not fit it. Refuses:
//! fetching anything, and repeating a context's values, which may be secrets.

use std::fmt;
use std::sync::Arc;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{ReferencingError, ValidationError, Validator};
use serde_json::Value;

use super::problems::{listed, quoted, shown};

/// The most violations one message lists.
const LISTED: usize = 20;
/// What `type` may say.
const TYPES: &str = "array, boolean, integer, null, number, object and string";

/// The compiled schema of a template that has one. Two of them always compare as equal: they are
/// derived from `input_schema`, which is compared.
#[derive(Clone, Default)]
pub(super) struct Schema(Option<Arc<Validator>>);

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

impl Schema {
    /// Compiles the schema. `format` is checked, unknown formats are let through, and `$ref` leads
    /// only to places inside the schema.
    pub(super) fn compile(schema: &Value) -> Result<Schema, String> {
        let options = jsonschema::options().offline().should_validate_formats(true);
        let compiled = options.build(schema).map_err(|error| match error.kind() {
            Kind::Referencing(ReferencingError::Unretrievable { uri, .. }) => format!(
                "input_schema refers to {}; remote references are not fetched: copy that schema \
                 under `$defs` and refer to it as `#/$defs/its_name`",
                quoted(uri)
            ),
            Kind::Referencing(ReferencingError::UnknownSpecification { specification }) => format!(
                "input_schema: `$schema` names the unknown dialect {}; leave it out or write \
                 `https://json-schema.org/draft/2020-12/schema`",
                quoted(specification)
            ),
            _ => {
                let place = error.instance_path().as_str();
                let place = if place.is_empty() { "the top".to_owned() } else { quoted(place) };
                let what = fault(&error);
                format!(
                    "input_schema is no JSON Schema: at {place}: {what}; correct it there \
                     (https://json-schema.org/understanding-json-schema)"
                )
            }
        })?;
        Ok(Schema(Some(Arc::new(compiled))))
    }

    /// Every violation, in the schema's order, and how many more there are.
    pub(super) fn violations(&self, context: &Value) -> (Vec<Violation>, usize) {
        let Some(validator) = &self.0 else {
            return (Vec::new(), 0);
        };
        let mut all: Vec<Violation> = validator.iter_errors(context).flat_map(|e| word(&e)).collect();
        let unlisted = all.len().saturating_sub(LISTED);
        all.truncate(LISTED);
        (all, unlisted)
    }
}

/// What is wrong inside a schema, whose values are no secrets.
fn fault(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Referencing(_) | Kind::Custom { .. } => error.to_string(),
        kind => {
            let value = shown(&error.instance().to_string());
            match error.instance_path().as_str().rsplit('/').next() {
                Some("type") => format!("{value} is no type; the types are {TYPES}"),
                _ => format!("{value} {}", rule(kind)),
            }
        }
    }
}

fn word(error: &ValidationError<'_>) -> Vec<Violation> {
    let here = error.instance_path().as_str();
    let inside = |name: &str, rule: &str| Violation {
        pointer: format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")),
        rule: rule.to_owned(),
    };
    match error.kind() {
        Kind::Required { property: Value::String(name) } => vec![inside(name, "is required")],
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| inside(name, "is not allowed here")).collect()
        }
        kind => vec![Violation { pointer: here.to_owned(), rule: rule(kind) }],
    }
}

/// What the schema asks for; nothing in it comes from the context.
fn rule(kind: &Kind) -> String {
    match kind {
        Kind::Type { kind } => format!("must be {}", types(kind)),
        Kind::Enum { options } => format!("must be one of {}", shown(&options.to_string())),
        Kind::Constant { expected_value } => {
            format!("must be {}", shown(&expected_value.to_string()))
        }
        Kind::Format { format } => format!("must have the format {}", quoted(format)),
        Kind::Pattern { pattern } => format!("must match the pattern {}", quoted(pattern)),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::AdditionalItems { limit } => format!("must have at most {limit} items"),
        Kind::MinProperties { limit } => format!("must have at least {limit} properties"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} properties"),
        Kind::UnevaluatedItems { .. } => "must not have further items".to_owned(),
        Kind::UniqueItems => "must not have the same item twice".to_owned(),
        Kind::Contains => "must have an item that fits `contains`".to_owned(),
        Kind::FalseSchema => "is not allowed here".to_owned(),
        Kind::Not { .. } => "must not fit the schema under `not`".to_owned(),
        Kind::AnyOf { .. } => "must fit at least one schema of `anyOf`".to_owned(),
        Kind::OneOfNotValid { .. } => "must fit one schema of `oneOf`, but fits none".to_owned(),
        Kind::OneOfMultipleValid { .. } => "must fit exactly one schema of `oneOf`, but fits several".to_owned(),
        Kind::PropertyNames { error } => {
            format!("has a property whose name {}", rule(error.kind()))
        }
        Kind::BacktrackLimitExceeded { .. } => "takes too long to match; simplify `pattern`".to_owned(),
        other => format!("does not fit `{}`", other.keyword()),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(single) => format!("of the type {single}"),
        TypeKind::Multiple(several) => {
            let names: Vec<String> = several.iter().map(|one| one.to_string()).collect();
            format!("of one of the types {}", listed(names.iter().map(String::as_str)))
        }
    }
}
