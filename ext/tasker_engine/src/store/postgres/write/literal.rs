//! Owns: values as SQL literals, for statements that go to the server together in one message. Every value goes through
//! here; none is put into a statement as it is.

use crate::clock::Micros;

/// Statements for one message.
#[derive(Default)]
pub(in super::super) struct Script(String);

/// The values of one EXECUTE.
pub(in super::super) struct Values<'a> {
    text: &'a mut String,
    first: bool,
}

impl Script {
    pub(in super::super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in super::super) fn text(&self) -> &str {
        &self.0
    }

    /// Adds a statement that needs no values.
    pub(in super::super) fn statement(&mut self, statement: &str) {
        self.0.push_str(statement);
        self.0.push(';');
    }

    /// Adds the execution of a prepared statement.
    pub(in super::super) fn execute(&mut self, prepared: &str, values: impl FnOnce(&mut Values<'_>)) {
        self.0.push_str("EXECUTE ");
        self.0.push_str(prepared);
        self.0.push('(');
        values(&mut Values { text: &mut self.0, first: true });
        self.0.push_str(");");
    }
}

impl Values<'_> {
    fn next(&mut self) -> &mut String {
        if !std::mem::replace(&mut self.first, false) {
            self.text.push(',');
        }
        self.text
    }

    fn quoted(&mut self, text: &str) -> &mut Self {
        quote(self.next(), text);
        self
    }

    pub(in super::super) fn int(&mut self, number: i64) -> &mut Self {
        let text = self.next();
        // In quotes, a negative number is one literal.
        text.push('\'');
        text.push_str(&number.to_string());
        text.push('\'');
        self
    }

    pub(in super::super) fn optional_int(&mut self, number: Option<i64>) -> &mut Self {
        match number {
            Some(number) => self.int(number),
            None => self.null(),
        }
    }

    pub(in super::super) fn bool(&mut self, value: bool) -> &mut Self {
        self.next().push_str(if value { "true" } else { "false" });
        self
    }

    pub(in super::super) fn text(&mut self, text: &str) -> &mut Self {
        self.quoted(text)
    }

    pub(in super::super) fn optional(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.quoted(text),
            None => self.null(),
        }
    }

    pub(in super::super) fn time(&mut self, at: Micros) -> &mut Self {
        self.quoted(&at.to_rfc3339_micros())
    }

    pub(in super::super) fn optional_time(&mut self, at: Option<Micros>) -> &mut Self {
        match at {
            Some(at) => self.time(at),
            None => self.null(),
        }
    }

    pub(in super::super) fn ints(&mut self, numbers: &[i64]) -> &mut Self {
        let numbers = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        self.quoted(&format!("{{{numbers}}}"))
    }

    pub(in super::super) fn texts(&mut self, texts: &[String]) -> &mut Self {
        let quoted = |text: &String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let texts = texts.iter().map(quoted).collect::<Vec<_>>().join(",");
        self.quoted(&format!("{{{texts}}}"))
    }

    pub(in super::super) fn optional_texts(&mut self, texts: &[Option<String>]) -> &mut Self {
        let quoted = |text: &Option<String>| match text {
            Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            None => "NULL".to_owned(),
        };
        let texts = texts.iter().map(quoted).collect::<Vec<_>>().join(",");
        self.quoted(&format!("{{{texts}}}"))
    }

    fn null(&mut self) -> &mut Self {
        self.next().push_str("NULL");
        self
    }
}

/// A string constant, whatever `standard_conforming_strings` says of backslashes.
fn quote(into: &mut String, text: &str) {
    if text.contains('\\') {
        into.push('E');
    }
    into.push('\'');
    for part in text.split_inclusive(['\'', '\\']) {
        into.push_str(part);
        match part.as_bytes().last() {
            Some(b'\'') => into.push('\''),
            Some(b'\\') => into.push('\\'),
            _ => {}
        }
    }
    into.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_its_literal() {
        let quoted = |text| {
            let mut into = String::new();
            quote(&mut into, text);
            into
        };
        assert_eq!(quoted("plain"), "'plain'");
        assert_eq!(quoted("it's; DROP"), "'it''s; DROP'");
        assert_eq!(quoted(r"a\'b"), r"E'a\\''b'");
        assert_eq!(quoted(r"end\"), r"E'end\\'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn values_stand_in_their_order() {
        let mut script = Script::default();
        script.statement("BEGIN");
        script.execute("p", |values| {
            values.int(-1).optional_int(None).bool(true).text("x").optional(None).time(Micros(0)).ints(&[1, 2]);
            values.texts(&["a".into(), r#"q"\"#.into()]);
        });
        let wanted =
            r#"BEGIN;EXECUTE p('-1',NULL,true,'x',NULL,'1970-01-01T00:00:00.000000Z','{1,2}',E'{"a","q\\"\\\\"}');"#;
        assert_eq!(script.text(), wanted);
    }
}
