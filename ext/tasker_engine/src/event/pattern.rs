//! Owns: which events somebody wants to hear of, by their names. `*` stands for one word, `#` for any number of words, none
//! among them: `order.*`, `#.failed`, `#`.

/// A pattern of event names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    This(String),
    One,
    Any,
}

/// The longest pattern, in bytes, and the most `#` in one: each makes matching dearer.
const MOST_BYTES: usize = 256;
const MOST_ANY: usize = 4;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let word = |word: &str| match word {
            "*" => Some(Word::One),
            "#" => Some(Word::Any),
            word => {
                let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
                (!word.is_empty() && word.bytes().all(allowed)).then(|| Word::This(word.to_owned()))
            }
        };
        let words: Option<Vec<Word>> = text.split('.').map(word).collect();
        let few = |words: &Vec<Word>| words.iter().filter(|word| **word == Word::Any).count() <= MOST_ANY;
        let words = words.filter(few).filter(|_| text.len() <= MOST_BYTES);
        words.map(|words| Pattern { text: text.to_owned(), words }).ok_or_else(|| {
            let short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
            format!(
                "`{short}` is no pattern of event names; write words of an event's name, `*` for one word or `#` for any \
                 number of them (at most {MOST_ANY} times), with dots in between, such as `payment.*`"
            )
        })
    }

    /// Whether an event of that name is meant.
    pub fn matches(&self, name: &str) -> bool {
        fits(&self.words, Some(name))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn fits(words: &[Word], name: Option<&str>) -> bool {
    let Some((first, others)) = words.split_first() else { return name.is_none() };
    match (first, name) {
        (Word::Any, None) => fits(others, None),
        (Word::Any, Some(name)) => fits(others, Some(name)) || fits(words, next(name)),
        (_, None) => false,
        (Word::One, Some(name)) => fits(others, next(name)),
        (Word::This(wanted), Some(name)) => {
            let (word, rest) = name.split_once('.').map_or((name, None), |(word, rest)| (word, Some(rest)));
            word == wanted && fits(others, rest)
        }
    }
}

/// What comes after the first word.
fn next(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(name)
    }

    #[test]
    fn a_star_is_one_word_and_a_hash_is_any_number() {
        let table: [(&str, &[&str], &[&str]); 6] = [
            ("order.placed", &["order.placed"], &["order", "order.placed.late", "order.place"]),
            ("order.*", &["order.placed"], &["order", "order.placed.late", "orders.placed"]),
            ("*.failed", &["order.failed"], &["failed", "a.b.failed"]),
            ("#", &["order", "order.placed", "a.b.c.d"], &[]),
            ("order.#", &["order", "order.placed", "order.placed.late"], &["orders.placed"]),
            ("#.failed.#", &["failed", "a.failed", "failed.b", "a.b.failed.c.d"], &["a.b.c"]),
        ];
        for (pattern, yes, no) in table {
            assert!(yes.iter().all(|name| matches(pattern, name)), "{pattern} {yes:?}");
            assert!(!no.iter().any(|name| matches(pattern, name)), "{pattern} {no:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["", ".", "a..b", "Order.*", "a*", "a.b'", "#.#.#.#.#", &"a".repeat(257)] {
            assert!(Pattern::parse(bad).unwrap_err().contains("no pattern"), "{bad:?}");
        }
    }
}
