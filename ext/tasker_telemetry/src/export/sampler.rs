//! Owns: the SDK's sampler that does as ours: for the spans of `tracing`, which go through the SDK.

use opentelemetry_sdk::trace::Sampler as SdkSampler;

use crate::record::sampling::Sampler;

/// What such a span happens in has been decided by us, so it stands.
pub(super) fn for_sdk(sampler: Sampler) -> SdkSampler {
    SdkSampler::ParentBased(Box::new(match sampler {
        Sampler::AlwaysOn | Sampler::ParentBasedAlwaysOn => SdkSampler::AlwaysOn,
        Sampler::AlwaysOff | Sampler::ParentBasedAlwaysOff => SdkSampler::AlwaysOff,
        Sampler::Ratio(ratio) | Sampler::ParentBasedRatio(ratio) => SdkSampler::TraceIdRatioBased(ratio),
    }))
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
                let theirs = for_sdk(Sampler::Ratio(ratio))
                    .should_sample(None, TraceId::from(id), "", &SpanKind::Internal, &[], &[])
                    .decision;
                let sampled = theirs == SamplingDecision::RecordAndSample;
                assert_eq!(Sampler::Ratio(ratio).decide(None, id), sampled, "{ratio} {id:x}");
            }
        }
    }
}
