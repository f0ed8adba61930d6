//! What is said of one request: a span for the trace, and one line in the log where something went wrong.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use http::HeaderMap;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Wire, trace};
use crate::domain::reason::Reason;
use crate::domain::throttle::Throttle;
use crate::proto::MethodId;

/// The span of one request, from its head to its answer. Costs next to nothing unless traces are exported or the log is at
/// `debug`.
#[derive(Clone, Debug)]
pub struct RequestSpan(Span);

/// How a request was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Finds the request in the log.
    pub request_id: &'a str,
    /// How it reached us.
    pub wire: Wire,
    /// The RPC, if it was one of ours.
    pub rpc: Option<MethodId>,
    /// The id of the key that was presented, if it was recognised.
    pub key_id: Option<&'a str>,
    /// Why it was refused or failed, if it was.
    pub reason: Option<Reason>,
    /// From the head of the request to the head of the answer.
    pub took: Duration,
}

impl RequestSpan {
    /// Opens the span of a request, as a part of the trace that its `traceparent` names, if any.
    pub fn open(request_id: &str, wire: Wire, headers: &HeaderMap) -> Self {
        let span = tracing::debug_span!(
            "request",
            otel.kind = "server",
            otel.name = field::Empty,
            otel.status_code = field::Empty,
            request_id,
            wire = wire.as_str(),
            rpc = field::Empty,
            key_id = field::Empty,
            code = field::Empty,
            latency_us = field::Empty,
        );
        if !span.is_disabled()
            && let Some(parent) = trace::parent(headers)
        {
            // It fails only where no exporter listens, and then there is no trace to be part of.
            let _ = span.set_parent(parent);
        }
        Self(span)
    }

    /// The span, to run the request in (`tracing::Instrument`).
    pub fn span(&self) -> &Span {
        &self.0
    }

    /// Says how the request was answered. Faults of ours are logged as errors, each; that the store or the server is
    /// overwhelmed as a warning, at most once a second; all else at `debug`.
    pub fn close(&self, answered: Answered<'_>) {
        let Answered { request_id, wire, rpc, key_id, reason, took } = answered;
        let (wire, rpc) = (wire.as_str(), rpc.map(rpc_name).unwrap_or_default());
        let key_id = key_id.unwrap_or_default();
        let code = reason.map_or("OK", |reason| reason.wording().name);
        let latency_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if !self.0.is_disabled() {
            self.record(rpc, key_id, code, latency_us, reason);
        }
        let _inside = self.0.enter();
        match reason {
            Some(Reason::Internal) => {
                tracing::error!(request_id, wire, rpc, key_id, code, latency_us, "request failed");
            }
            Some(Reason::StoreUnavailable | Reason::Overloaded) => {
                static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
                static WARNINGS: Throttle = Throttle::new(WARN_EVERY);
                if let Some(others) = WARNINGS.pass(STARTED.elapsed()) {
                    tracing::warn!(
                        request_id,
                        wire,
                        rpc,
                        key_id,
                        code,
                        latency_us,
                        others,
                        "requests cannot be served"
                    );
                }
            }
            _ => tracing::debug!(request_id, wire, rpc, key_id, code, latency_us, "answered"),
        }
    }

    fn record(&self, rpc: &str, key_id: &str, code: &str, latency_us: u64, reason: Option<Reason>) {
        let Self(span) = self;
        if !rpc.is_empty() {
            span.record("otel.name", rpc).record("rpc", rpc);
        }
        if !key_id.is_empty() {
            span.record("key_id", key_id);
        }
        // A refusal is an answer; only what the server failed to do makes a span an error (OpenTelemetry, semantic
        // conventions for RPC, server spans).
        if matches!(reason, Some(Reason::Internal | Reason::StoreUnavailable | Reason::Overloaded)) {
            span.record("otel.status_code", "ERROR");
        }
        span.record("code", code).record("latency_us", latency_us);
    }
}

/// `gatepost.v1.Auth/Verify`.
pub(super) fn rpc_name(method: MethodId) -> &'static str {
    method.path().trim_start_matches('/')
}

const WARN_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::trace::Exporter;
    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    #[test]
    fn a_request_is_one_span_of_its_callers_trace() {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
        let exporter = Exporter::with(provider);
        let subscriber = Registry::default().with(exporter.layer());
        tracing::subscriber::with_default(subscriber, || {
            let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
            let headers = HeaderMap::from_iter([(http::HeaderName::from_static("traceparent"), traceparent)]);
            let span = RequestSpan::open("req_1", Wire::Json, &headers);
            span.close(Answered {
                request_id: "req_1",
                wire: Wire::Json,
                rpc: MethodId::find("/gatepost.v1.Auth/Verify"),
                key_id: Some("key_1"),
                reason: Some(Reason::StoreUnavailable),
                took: Duration::from_millis(2),
            });
            let _of_a_library = tracing::info_span!(target: "h2", "connection");
        });
        let spans = kept.0.lock().unwrap();
        assert_eq!(spans.len(), 1, "{spans:?}");
        let span = &spans[0];
        assert_eq!(span.name, "gatepost.v1.Auth/Verify");
        assert_eq!(span.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.parent_span_id.to_string(), "b7ad6b7169203331");
        assert!(format!("{:?}", span.status).starts_with("Error"), "{:?}", span.status);
        let attribute = |name: &str| span.attributes.iter().find(|a| a.key.as_str() == name).unwrap().value.to_string();
        let expected = [("request_id", "req_1"), ("wire", "json"), ("key_id", "key_1"), ("code", "STORE_UNAVAILABLE")];
        for (name, value) in expected {
            assert_eq!(attribute(name), value);
        }
        assert_eq!(attribute("latency_us"), "2000");
    }
}
