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

static CURRENT: ArcSwapOption<Sampler> = ArcSwapOption::const_empty();

/// Whether a trace that begins here, or comes in with `parent`, is exported.
///
/// Needs no exporter: a process that only submits decides for the workers that will run the task.
pub fn decide(parent: Option<&TraceContext>, trace_id: u128) -> bool {
    let current = CURRENT.load();
    let sampler = match current.as_deref() {
        Some(sampler) => *sampler,
        None => {
            let sampler = TelemetryConfig::from_env(&Overrides::default()).sampler;
            CURRENT.store(Some(Arc::new(sampler)));
            sampler
        }
    };
    sampler.decide(parent.map(|parent| parent.sampled), trace_id)
}

/// Phase 2 has read the environment, and what Ruby configured.
pub(super) fn set(sampler: Sampler) {
    CURRENT.store(Some(Arc::new(sampler)));
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
    fn a_parent_decides_only_for_parent_based_samplers() {
        assert!(!Sampler::ParentBasedAlwaysOn.decide(Some(false), 1));
        assert!(Sampler::ParentBasedAlwaysOff.decide(Some(true), 1));
        assert!(Sampler::ParentBasedRatio(0.0).decide(Some(true), u128::MAX));
        assert!(!Sampler::ParentBasedRatio(0.0).decide(None, u128::MAX));
        assert!(Sampler::AlwaysOn.decide(Some(false), 1));
        assert!(!Sampler::AlwaysOff.decide(Some(true), 1));
    }
}
