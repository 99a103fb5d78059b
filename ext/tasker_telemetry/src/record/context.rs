//! Owns: W3C trace context, in and out. Refuses: anything that is not exactly the standard's shape
//! (OpenTelemetry's SDK would take "0" for an id).

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::OnceLock;

/// Where a span stands: its trace, itself, and whether the trace is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// 16 bytes, never zero.
    pub trace_id: u128,
    /// 8 bytes, never zero.
    pub span_id: u64,
    /// The `sampled` flag: without it the children of a remote parent would vanish.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent` header (`00-<32 hex>-<16 hex>-<2 hex>`, lower case). `None` for anything
    /// the standard tells a receiver to ignore: then a new trace begins.
    pub fn parse_traceparent(text: &str) -> Option<TraceContext> {
        let mut parts = text.trim().split('-');
        let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A version we do not know may carry more parts; version 00 may not.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        lower_hex(version, 2)?;
        let (trace_id, span_id) = parse_ids(trace_id, span_id)?;
        let flags = lower_hex(flags, 2)?;
        Some(TraceContext { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// The `traceparent` header for this context.
    pub fn to_traceparent(&self) -> String {
        String::from_utf8_lossy(&self.traceparent()).into_owned()
    }

    /// The same, as ASCII.
    pub fn traceparent(&self) -> [u8; 55] {
        let mut text = [b'-'; 55];
        put_hex(&mut text[..2], 0);
        put_hex(&mut text[3..35], self.trace_id);
        put_hex(&mut text[36..52], self.span_id.into());
        put_hex(&mut text[53..], self.sampled.into());
        text
    }

    /// The trace id as 32 hex digits.
    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// The span id as 16 hex digits.
    pub fn span_id_hex(&self) -> String {
        format!("{:016x}", self.span_id)
    }
}

/// Reads a trace id and a span id that Ruby handed back: 32 and 16 lower-case hex digits, not all zero.
pub fn parse_ids(trace_id: &str, span_id: &str) -> Option<(u128, u64)> {
    let trace_id = lower_hex(trace_id, 32).filter(|id| *id != 0)?;
    let span_id = lower_hex(span_id, 16).filter(|id| *id != 0)?;
    Some((trace_id, u64::try_from(span_id).ok()?))
}

// Both for every span that Ruby opens: the standard library's take four times as long.
fn put_hex(text: &mut [u8], number: u128) {
    for (place, digit) in text.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * place)) as usize & 0xf];
    }
}

fn lower_hex(text: &str, digits: usize) -> Option<u128> {
    if text.len() != digits {
        return None;
    }
    text.bytes().try_fold(0, |number, byte| {
        let nibble = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(nibble))
    })
}

thread_local! {
    static CURRENT: Cell<Option<TraceContext>> = const { Cell::new(None) };
}

/// Puts back what was current before, also when the body panics.
struct Restore(Option<TraceContext>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Runs `body` inside `context`: log lines made in it carry its ids, and `tracing` spans opened in it
/// become its children. Costs a few nanoseconds while nothing is exported.
pub fn with_context<T>(context: &TraceContext, body: impl FnOnce() -> T) -> T {
    let _restore = Restore(CURRENT.replace(Some(*context)));
    match ATTACH.get() {
        Some(attach) if ATTACHING.load(Ordering::Relaxed) => {
            let _attached = attach(context);
            body()
        }
        _ => body(),
    }
}

/// Tells another library about a context; what it gives back undoes that when it is dropped.
pub(crate) type Attach = fn(&TraceContext) -> Box<dyn std::any::Any>;

static ATTACH: OnceLock<Attach> = OnceLock::new();
static ATTACHING: AtomicBool = AtomicBool::new(false);

/// From now on `attach` is told of each context; `None`: nobody is.
pub(crate) fn tell(attach: Option<Attach>) {
    if let Some(attach) = attach {
        let _ = ATTACH.set(attach);
    }
    ATTACHING.store(attach.is_some(), Ordering::Relaxed);
}

/// The innermost [`with_context`] of this thread.
pub(crate) fn current() -> Option<TraceContext> {
    CURRENT.get()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_comes_back_as_it_went() {
        let context = TraceContext::parse_traceparent(GOOD).unwrap();
        assert_eq!(context.trace_id_hex(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id_hex(), "b7ad6b7169203331");
        assert!(context.sampled);
        assert_eq!(context.to_traceparent(), GOOD);
        assert!(!TraceContext::parse_traceparent(&GOOD.replace("-01", "-00")).unwrap().sampled);
    }

    #[test]
    fn what_the_standard_ignores_is_ignored() {
        for bad in [
            "",
            "0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c8031-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse_traceparent(bad), None, "{bad}");
        }
        assert!(TraceContext::parse_traceparent(&GOOD.replacen("00", "01", 1)).is_some(), "a later version");
    }

    #[test]
    fn ids_must_be_whole() {
        assert!(parse_ids("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331").is_some());
        assert!(parse_ids("1", "2").is_none());
    }
}
