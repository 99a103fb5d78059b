//! Owns: the list of what is wrong with a template, and how it is worded: place, fault, hint.
//! Refuses: deciding what is wrong.

use std::cell::{Cell, RefCell};

use crate::error::Error;

/// Later problems are mostly echoes of the first ones: they are counted, not listed.
const LISTED: usize = 20;
/// Text from the document is quoted up to this many characters.
const QUOTED: usize = 80;

/// Collects problems while a document is read, so that one run shows all of them.
#[derive(Default)]
pub(super) struct Problems {
    lines: RefCell<Vec<String>>,
    unlisted: Cell<usize>,
    lenient: bool,
}

impl Problems {
    /// For a document that a newer version may have written: what is unknown in it is no problem.
    pub(super) fn lenient() -> Problems {
        Problems { lenient: true, ..Problems::default() }
    }

    pub(super) fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// Notes one problem; `what` is only worded while the list still has room.
    pub(super) fn add(&self, place: &str, what: impl FnOnce() -> String) {
        let mut lines = self.lines.borrow_mut();
        if lines.len() < LISTED {
            lines.push(format!("{place}: {}", what()));
        } else {
            self.unlisted.set(self.unlisted.get() + 1);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.borrow().is_empty()
    }

    /// One problem stays one line; several are listed below their number.
    pub(super) fn into_error(self, source_name: &str) -> Error {
        let lines = self.lines.into_inner();
        let unlisted = self.unlisted.get();
        let message = if lines.len() == 1 {
            lines.concat()
        } else {
            let mut text = format!("{} problems:", lines.len() + unlisted);
            for line in &lines {
                text.push_str("\n  ");
                text.push_str(line);
            }
            if unlisted > 0 {
                text.push_str(&format!("\n  and {unlisted} more"));
            }
            text
        };
        Error::Template { source_name: source_name.to_owned(), message }
    }
}

/// Text from the document, between backticks: one line, and short enough to read.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}

/// Text from the document on one line, cut where it gets long.
pub(super) fn shown(text: &str) -> String {
    let mut short = String::new();
    for (position, character) in text.chars().enumerate() {
        if position == QUOTED {
            short.push_str("...");
            break;
        }
        if character.is_control() {
            short.extend(character.escape_default());
        } else {
            short.push(character);
        }
    }
    short
}

/// Names between commas, at most twenty of them.
pub(super) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let unlisted = names.len().saturating_sub(LISTED);
    let mut text = names.take(LISTED).map(shown).collect::<Vec<_>>().join(", ");
    if unlisted > 0 {
        text.push_str(&format!(" and {unlisted} more"));
    }
    text
}

/// ` did you mean `x`?` when one of the known names is close to the wanted one, else nothing.
pub(super) fn did_you_mean<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> String {
    let allowed = (wanted.len() / 3).max(1);
    let closest = known
        .filter(|name| wanted.len() <= QUOTED && name.len().abs_diff(wanted.len()) <= allowed)
        .map(|name| (distance(wanted, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance);
    closest.map_or_else(String::new, |(_, name)| format!(" did you mean `{name}`?"))
}

/// How many letters must be changed, added, dropped or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let changed = above[column] + usize::from(from != to);
            let mut least = changed.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && left[row - 1] == *to && right[column - 1] == *from;
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}
