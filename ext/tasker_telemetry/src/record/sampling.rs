//! Owns: whether a trace is exported, and which steps' spans in it. Refuses: half a trace: the one decision is made where the
//! trace begins and travels with it in the flags; and half a step: what is below its spans is kept or dropped with them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use uuid::Uuid;

/// `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampler {
    /// `always_on`
    AlwaysOn,
    /// `always_off`
    AlwaysOff,
    /// `traceidratio`: this share of trace ids, from 0.0 to 1.0.
    Ratio(f64),
    /// `parentbased_always_on`, the default.
    ParentBasedAlwaysOn,
    /// `parentbased_always_off`
    ParentBasedAlwaysOff,
    /// `parentbased_traceidratio`: this share of the traces that begin here.
    ParentBasedRatio(f64),
}

/// Everything a decision rests on.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// `OTEL_TRACES_SAMPLER`: for every trace that no line of `namespaces` is about.
    pub general: Sampler,
    /// `TASKER_TRACE_SAMPLE`: for tasks of a namespace, the share of trace ids that are kept.
    pub namespaces: Vec<(String, f64)>,
    /// `TASKER_STEP_SAMPLE`: for steps of a namespace, in traces that are kept, the share that leaves spans.
    pub steps: Vec<(String, f64)>,
}

static CURRENT: ArcSwapOption<Sampling> = ArcSwapOption::const_empty();

/// What a task or a span happens in, with its `sampled` flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// A span of this process: it was decided here.
    Own(bool),
    /// A span that came in with a `traceparent`.
    Elsewhere(bool),
}

/// Whether what begins now is exported. `namespace` is that of the task it is about; `None` for a span
/// outside any task.
///
/// Needs no exporter: a process that only submits decides for the workers that will run the task.
pub fn decide(parent: Option<Parent>, trace_id: u128, namespace: Option<&str>) -> bool {
    by_current(|sampling| sampling.decide(parent, trace_id, namespace))
}

/// Which steps of a namespace leave spans, in a trace that is exported. Whoever claims a step and whoever ends it, perhaps
/// another process, find the same, as long as they have the same settings.
pub fn steps(namespace: &str) -> StepShare {
    by_current(|sampling| sampling.steps(namespace))
}

/// Which steps leave spans in every namespace: for one of which nobody knows the namespace.
pub fn steps_of_any_namespace() -> StepShare {
    by_current(|sampling| {
        let shares = sampling.steps.iter().map(|(_, share)| StepShare::of(*share));
        shares.min_by_key(|share| share.0).unwrap_or(StepShare::ALL)
    })
}

fn by_current<T>(decide: impl FnOnce(&Sampling) -> T) -> T {
    if let Some(current) = CURRENT.load().as_deref() {
        return decide(current);
    }
    // Nobody has read the environment: a Rust program that never called Phase 1.
    decide(&Sampling { general: Sampler::ParentBasedAlwaysOn, namespaces: Vec::new(), steps: Vec::new() })
}

/// A share of steps: those whose number is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepShare(u64);

impl StepShare {
    const ALL: StepShare = StepShare(1 << 63);

    fn of(share: f64) -> StepShare {
        StepShare(bound(share))
    }

    /// Whether the step leaves spans, in all its attempts.
    pub fn keeps(self, step_uuid: Uuid) -> bool {
        self == StepShare::ALL || number(step_uuid) < self.0
    }
}

/// 63 bits, as good as random: those of a UUID are not all random.
fn number(step_uuid: Uuid) -> u64 {
    let (high, low) = step_uuid.as_u64_pair();
    let mut mixed = high ^ low;
    for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(factor);
    }
    (mixed ^ (mixed >> 31)) >> 1
}

/// The environment has been read, and what Ruby configured.
pub(crate) fn set(sampling: Sampling) {
    CURRENT.store(Some(Arc::new(sampling)));
}

impl Sampling {
    /// The decision. What was decided in this process stands, whatever the sampler, or a trace would be kept
    /// in pieces. For the same reason a namespace's share is only for traces that begin with its task: a
    /// trace that comes in is decided by what all processes know alike, its flag or its id.
    pub fn decide(&self, parent: Option<Parent>, trace_id: u128, namespace: Option<&str>) -> bool {
        match parent {
            Some(Parent::Own(sampled)) => sampled,
            Some(Parent::Elsewhere(sampled)) => self.general.decide(Some(sampled), trace_id),
            None => {
                let share = namespace.and_then(|name| self.namespaces.iter().find(|(known, _)| known == name));
                share.map_or_else(|| self.general.decide(None, trace_id), |(_, share)| in_ratio(*share, trace_id))
            }
        }
    }
}

impl Sampling {
    fn steps(&self, namespace: &str) -> StepShare {
        let share = self.steps.iter().find(|(known, _)| known == namespace);
        share.map_or(StepShare::ALL, |(_, share)| StepShare::of(*share))
    }
}

impl Sampler {
    /// The decision, given the parent's (if there is a parent).
    pub fn decide(self, parent_sampled: Option<bool>, trace_id: u128) -> bool {
        match (self, parent_sampled) {
            (Sampler::AlwaysOn, _) => true,
            (Sampler::AlwaysOff, _) => false,
            (Sampler::Ratio(ratio), _) | (Sampler::ParentBasedRatio(ratio), None) => in_ratio(ratio, trace_id),
            (_, Some(sampled)) => sampled,
            (Sampler::ParentBasedAlwaysOn, None) => true,
            (Sampler::ParentBasedAlwaysOff, None) => false,
        }
    }
}

/// The SDK's rule, so that every process of a system keeps the same traces: the trace id's low 63 bits.
fn in_ratio(ratio: f64, trace_id: u128) -> bool {
    ((trace_id as u64) >> 1) < bound(ratio)
}

/// Below which of 2^63 numbers a share is.
fn bound(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * (1u64 << 63) as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_a_share_of_its_own() {
        let namespaces = vec![("orders".to_owned(), 1.0), ("bulk".to_owned(), 0.0)];
        let sampling = Sampling { general: Sampler::ParentBasedRatio(0.5), namespaces, steps: Vec::new() };
        assert!(sampling.decide(None, u128::MAX, Some("orders")));
        assert!(!sampling.decide(None, 1, Some("bulk")));
        assert!(sampling.decide(None, 1, Some("other")) && !sampling.decide(None, u128::MAX, Some("other")));
        assert!(sampling.decide(Some(Parent::Elsewhere(true)), 1, Some("bulk")), "a caller's trace is kept whole");
    }

    #[test]
    fn a_trace_is_kept_or_dropped_whole_whatever_the_sampler() {
        let namespaces = vec![("orders".to_owned(), 1.0), ("bulk".to_owned(), 0.0)];
        let everywhere = [None, Some("orders"), Some("bulk"), Some("other")];
        use Sampler::{AlwaysOff, AlwaysOn, ParentBasedAlwaysOff, ParentBasedAlwaysOn, ParentBasedRatio, Ratio};
        for general in
            [AlwaysOn, AlwaysOff, Ratio(0.5), ParentBasedAlwaysOn, ParentBasedAlwaysOff, ParentBasedRatio(0.5)]
        {
            let sampling = Sampling { general, namespaces: namespaces.clone(), steps: Vec::new() };
            for trace_id in (0..200).map(|_| crate::ids::trace_id()) {
                for sampled in [true, false] {
                    let all = |parent| everywhere.map(|name| sampling.decide(Some(parent), trace_id, name));
                    assert_eq!(all(Parent::Own(sampled)), [sampled; 4], "{general:?}");
                    let from_elsewhere = all(Parent::Elsewhere(sampled));
                    assert_eq!(from_elsewhere, [from_elsewhere[0]; 4], "{general:?}");
                }
            }
        }
    }

    #[test]
    fn a_share_of_steps_is_that_share_and_a_larger_one_keeps_the_same_and_more() {
        let shares = [0.0, 0.1, 0.5, 0.9, 1.0].map(StepShare::of);
        let at = crate::time::Micros(1_700_000_000_000_000);
        let steps: Vec<Uuid> = (0..10_000).map(|_| crate::ids::uuid_v7(at)).collect();
        let kept = shares.map(|share| steps.iter().filter(|step| share.keeps(**step)).count());
        assert_eq!((kept[0], kept[4]), (0, 10_000));
        for (kept, expected) in kept[1..4].iter().zip([1_000, 5_000, 9_000]) {
            assert!(kept.abs_diff(expected) < 300, "{kept}, about {expected} expected");
        }
        for step in &steps {
            assert!(shares.map(|share| share.keeps(*step)).is_sorted(), "{step}");
        }
    }

    #[test]
    fn a_parent_decides_only_for_parent_based_samplers() {
        assert!(!Sampler::ParentBasedAlwaysOn.decide(Some(false), 1));
        assert!(Sampler::ParentBasedAlwaysOff.decide(Some(true), 1));
        assert!(Sampler::ParentBasedRatio(0.0).decide(Some(true), u128::MAX));
        assert!(!Sampler::ParentBasedRatio(0.0).decide(None, u128::MAX));
        assert!(Sampler::AlwaysOn.decide(Some(false), 1));
        assert!(!Sampler::AlwaysOff.decide(Some(true), 1));
    }
}
