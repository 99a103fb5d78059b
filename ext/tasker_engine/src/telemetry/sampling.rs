//! Owns: whether a trace is exported. Refuses: half a trace: the one decision is made where the trace
//! begins and travels with it in the flags.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use opentelemetry_sdk::trace::Sampler as SdkSampler;

use super::config::{Overrides, TelemetryConfig};
use super::context::TraceContext;

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
}

static CURRENT: ArcSwapOption<Sampling> = ArcSwapOption::const_empty();

/// Whether a trace that begins here, or comes in with `parent`, is exported. `namespace` is that of the
/// task the trace is about; `None` for a span outside any task.
///
/// Needs no exporter: a process that only submits decides for the workers that will run the task.
pub fn decide(parent: Option<&TraceContext>, trace_id: u128, namespace: Option<&str>) -> bool {
    let parent_sampled = parent.map(|parent| parent.sampled);
    if let Some(current) = CURRENT.load().as_deref() {
        return current.decide(parent_sampled, trace_id, namespace);
    }
    let config = TelemetryConfig::from_env(&Overrides::default());
    let decision = config.sampling.decide(parent_sampled, trace_id, namespace);
    set(config.sampling);
    decision
}

/// The environment has been read, and what Ruby configured.
pub(super) fn set(sampling: Sampling) {
    CURRENT.store(Some(Arc::new(sampling)));
}

impl Sampling {
    /// The decision. A namespace's share takes the place of the general one, and no more: with a
    /// parent-based sampler (the default) a caller's decision still stands, so that no trace is kept in
    /// pieces.
    pub fn decide(&self, parent_sampled: Option<bool>, trace_id: u128, namespace: Option<&str>) -> bool {
        let share = namespace.and_then(|name| self.namespaces.iter().find(|(known, _)| known == name));
        match (share, parent_sampled) {
            (None, _) => self.general.decide(parent_sampled, trace_id),
            (Some(_), Some(sampled)) if self.general.is_parent_based() => sampled,
            (Some((_, share)), _) => in_ratio(*share, trace_id),
        }
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

    fn is_parent_based(self) -> bool {
        use Sampler::{ParentBasedAlwaysOff, ParentBasedAlwaysOn, ParentBasedRatio};
        matches!(self, ParentBasedAlwaysOn | ParentBasedAlwaysOff | ParentBasedRatio(_))
    }

    /// The same sampler for the SDK's own spans.
    pub(super) fn for_sdk(self) -> SdkSampler {
        let parent_based = |root| SdkSampler::ParentBased(Box::new(root));
        match self {
            Sampler::AlwaysOn => SdkSampler::AlwaysOn,
            Sampler::AlwaysOff => SdkSampler::AlwaysOff,
            Sampler::Ratio(ratio) => SdkSampler::TraceIdRatioBased(ratio),
            Sampler::ParentBasedAlwaysOn => parent_based(SdkSampler::AlwaysOn),
            Sampler::ParentBasedAlwaysOff => parent_based(SdkSampler::AlwaysOff),
            Sampler::ParentBasedRatio(ratio) => parent_based(SdkSampler::TraceIdRatioBased(ratio)),
        }
    }
}

/// The SDK's rule, so that every process of a system keeps the same traces: the trace id's low 63 bits.
fn in_ratio(ratio: f64, trace_id: u128) -> bool {
    if ratio >= 1.0 {
        return true;
    }
    let bound = (ratio.max(0.0) * (1u64 << 63) as f64) as u64;
    ((trace_id as u64) >> 1) < bound
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanKind, TraceId};
    use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample};

    use super::*;

    #[test]
    fn ratios_agree_with_the_sdk() {
        for ratio in [0.0, 0.1, 0.5, 0.999, 1.0] {
            for _ in 0..500 {
                let id = crate::ids::trace_id();
                let theirs = Sampler::Ratio(ratio)
                    .for_sdk()
                    .should_sample(None, TraceId::from(id), "", &SpanKind::Internal, &[], &[])
                    .decision;
                let sampled = theirs == SamplingDecision::RecordAndSample;
                assert_eq!(Sampler::Ratio(ratio).decide(None, id), sampled, "{ratio} {id:x}");
            }
        }
    }

    #[test]
    fn a_namespace_has_a_share_of_its_own() {
        let namespaces = vec![("orders".to_owned(), 1.0), ("bulk".to_owned(), 0.0)];
        let sampling = Sampling { general: Sampler::ParentBasedRatio(0.5), namespaces };
        assert!(sampling.decide(None, u128::MAX, Some("orders")));
        assert!(!sampling.decide(None, 1, Some("bulk")));
        assert!(sampling.decide(None, 1, Some("other")) && !sampling.decide(None, u128::MAX, Some("other")));
        assert!(sampling.decide(Some(true), 1, Some("bulk")), "a caller's trace is kept whole");
        let sampling = Sampling { general: Sampler::AlwaysOn, ..sampling };
        assert!(!sampling.decide(Some(true), 1, Some("bulk")), "no parent counts for always_on");
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
