//! What to know besides: each is one line, and said only where it is so.

use super::Scene;
use crate::proxy::rehearsal::Rehearsed;
use crate::proxy::settings::UpstreamProtocol;
use crate::sample::decision::{Parent, Reason};

/// All there are to this request, in the order they are listed here.
pub fn of(scene: &Scene<'_>, rehearsed: Option<&Rehearsed>) -> Vec<String> {
    let Some(rehearsed) = rehearsed else {
        return Vec::new();
    };
    let all = [version(scene, rehearsed), trusted_cap(scene, rehearsed)];
    all.into_iter().flatten().collect()
}

/// The upstream hasn't been asked which version it speaks.
fn version(scene: &Scene<'_>, rehearsed: &Rehearsed) -> Option<String> {
    let upstream = &scene.listener.proxy.upstream;
    let chosen = upstream.tls.is_some() && upstream.protocol == UpstreamProtocol::Auto;
    (chosen && rehearsed.refused.is_none()).then(|| {
        "the upstream chooses HTTP/2 or HTTP/1.1 in its TLS handshake; shown as HTTP/1.1".to_owned()
    })
}

/// A cap that a lone request doesn't meet.
fn trusted_cap(scene: &Scene<'_>, rehearsed: &Rehearsed) -> Option<String> {
    let cap = scene.config.sampling.max_trusted_traces_per_second?;
    let decided = rehearsed.judged?.decided?;
    let by_parent = matches!(decided.decision.reason, Reason::Parent | Reason::TrustedCap);
    let sampled = matches!(decided.parent, Parent::Full { flags, .. } if flags.sampled());
    (by_parent && sampled).then(|| {
        format!(
            "the sampled flag is respected at most {cap} times a second \
             (tracing.maxTrustedTracesPerSecond)"
        )
    })
}
