//! Owns: patterns of event names: words with dots in between, where `*` stands for one word and `#` for any number of
//! them, none included. The one place that decides whether a name fits, for Rust and for Ruby.

use crate::error::{Error, Result};

/// The longest pattern, in bytes: as long as a name may be.
const LONGEST: usize = 255;

/// One pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Word>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// `*`
    One,
    /// `#`
    Any,
    Text(String),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for what cannot fit any name: an empty word, or `*` or `#` inside one.
    pub fn parse(text: &str) -> Result<Pattern> {
        let refuse = |why: &str| Err(Error::InvalidInput(format!("pattern {text:?}: {why}")));
        if text.len() > LONGEST {
            return refuse("it is longer than 255 bytes");
        }
        let mut words = Vec::new();
        for word in text.split('.') {
            words.push(match word {
                "" => return refuse("a word is empty; write words with one dot in between, like \"payment.*\""),
                "*" => Word::One,
                "#" => Word::Any,
                _ if word.contains(['*', '#']) => {
                    return refuse("* and # stand for whole words, like \"payment.*\" or \"order.#\"");
                }
                _ => Word::Text(word.to_owned()),
            });
        }
        Ok(Pattern(words))
    }

    /// Whether an event of that name fits.
    pub fn matches(&self, name: &str) -> bool {
        let mut words = name.split('.');
        let mut at = 0;
        // Where the last `#` stands, and what was left of the name when it had taken nothing more.
        let mut back: Option<(usize, std::str::Split<'_, char>)> = None;
        loop {
            let rest = words.clone();
            match (self.0.get(at), words.next()) {
                (Some(Word::Any), _) => {
                    back = Some((at, rest.clone()));
                    (at, words) = (at + 1, rest);
                }
                (Some(Word::One), Some(_)) => at += 1,
                (Some(Word::Text(text)), Some(word)) if text == word => at += 1,
                (None, None) => return true,
                // The `#` takes one word more.
                _ => {
                    let Some((any, taken)) = &mut back else { return false };
                    if taken.next().is_none() {
                        return false;
                    }
                    (at, words) = (*any + 1, taken.clone());
                }
            }
        }
    }
}

/// Several patterns: a name fits when it fits one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Reads patterns.
    ///
    /// # Errors
    /// As [`Pattern::parse`].
    pub fn parse(texts: &[impl AsRef<str>]) -> Result<Patterns> {
        texts.iter().map(|text| Pattern::parse(text.as_ref())).collect::<Result<_>>().map(Patterns)
    }

    /// Whether an event of that name fits one of them.
    pub fn match_any(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_word_and_a_hash_any_number() {
        let fits = |pattern: &str, name: &str| Pattern::parse(pattern).unwrap().matches(name);
        for (pattern, yes, no) in [
            ("payment.processed", &["payment.processed"][..], &["payment", "payment.processed.eu", "Payment.processed"][..]),
            ("payment.*", &["payment.processed"], &["payment", "payment.a.b", "payments.a"]),
            ("*.failed", &["payment.failed", "order.failed"], &["failed", "a.b.failed"]),
            ("order.#", &["order", "order.a", "order.a.b"], &["orders", "a.order"]),
            ("#", &["a", "a.b.c"], &[]),
            ("#.failed", &["failed", "a.failed", "a.b.failed", "failed.failed"], &["failed.a"]),
            ("a.#.z", &["a.z", "a.b.z", "a.z.z", "a.b.z.c.z"], &["a", "a.b", "a.z.b"]),
            ("#.b.*", &["b.c", "a.b.c", "b.b.c", "b.b.b"], &["b", "a.b", "b.c.d"]),
            ("#.a.#", &["a", "x.a", "a.x", "x.a.y"], &["x", "x.y"]),
        ] {
            yes.iter().for_each(|name| assert!(fits(pattern, name), "{pattern} {name}"));
            no.iter().for_each(|name| assert!(!fits(pattern, name), "{pattern} {name}"));
        }
    }

    #[test]
    fn what_can_fit_no_name_is_refused_with_an_example() {
        for text in ["", "a..b", ".a", "a.", "pay*", "a.b#"] {
            let error = Pattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("payment.*"), "{error}");
        }
        assert!(Pattern::parse(&"a".repeat(256)).is_err());
    }

    #[test]
    fn many_hashes_cost_no_more_than_their_number() {
        let pattern = Pattern::parse(&["#"; 100].join(".")).unwrap();
        let hard = Pattern::parse(&format!("{}.x", ["#.a"; 60].join("."))).unwrap();
        let name = ["a"; 120].join(".");
        assert!(pattern.matches(&name) && !hard.matches(&name));
    }
}
