//! Owns: how a group is, for operators and for gauges.

use serde::Serialize;

use super::Patterns;
use crate::clock::Micros;
use crate::store::groups::{GroupView, COUNTED};

/// A group as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupLook {
    /// Its name.
    pub name: String,
    /// Names of the events it wants.
    pub patterns: Vec<String>,
    /// Whether events of one key are handled one after the other.
    pub ordered: bool,
    /// Who reads for it; `None`: nobody does.
    pub holder: Option<String>,
    /// Seconds that its lease lasts unless it is renewed.
    pub lease_seconds: Option<f64>,
    /// Events it has not handled yet, without those that wait for a retry. At most 10,000 are looked at.
    pub pending: usize,
    /// Whether there may be more.
    pub more: bool,
    /// Milliseconds since the oldest of them was fired.
    pub lag_ms: f64,
    /// Events that wait for a retry, or for an earlier one of their key.
    pub retrying: usize,
    /// Dead letters.
    pub dead: usize,
    /// When it was opened first, in microseconds since the epoch.
    pub began_at: i64,
}

impl GroupLook {
    pub(super) fn of(view: GroupView, now: Micros) -> GroupLook {
        let looked: usize = view.behind.iter().map(|(_, count, _)| count).sum();
        // What was opened was read; a name that makes no sense wants nothing.
        let patterns = Patterns::parse(&view.patterns).ok();
        let wanted = |name: &str| patterns.as_ref().is_some_and(|patterns| patterns.match_any(name));
        let wanted = || view.behind.iter().filter(|(name, ..)| wanted(name));
        let oldest = wanted().map(|(_, _, fired_at)| *fired_at).min();
        let (holder, lease) = view.holder.clone().unzip();
        GroupLook {
            pending: wanted().map(|(_, count, _)| count).sum(),
            more: looked >= COUNTED,
            lag_ms: oldest.map_or(0.0, |oldest| now.millis_since(oldest).max(0.0)),
            holder,
            lease_seconds: lease.map(|left| left.as_secs_f64()),
            ordered: view.key_order,
            retrying: view.retrying,
            dead: view.dead,
            began_at: view.began_at.0,
            name: view.name,
            patterns: view.patterns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_group_wants_makes_it_late() {
        let view = GroupView {
            name: "billing".into(),
            patterns: vec!["payment.*".into()],
            key_order: false,
            holder: None,
            behind: vec![("order.placed".into(), 7, Micros(0)), ("payment.made".into(), 3, Micros(4_000))],
            retrying: 1,
            dead: 2,
            began_at: Micros(1),
        };
        let look = GroupLook::of(view.clone(), Micros(9_000));
        assert_eq!((look.pending, look.lag_ms, look.more), (3, 5.0, false));
        let none = GroupView { behind: vec![("order.placed".into(), COUNTED, Micros(0))], ..view };
        let look = GroupLook::of(none, Micros(9_000));
        assert_eq!((look.pending, look.lag_ms, look.more), (0, 0.0, true), "nothing it wants among those looked at");
    }
}
