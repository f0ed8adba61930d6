//! Traces: their export over OTLP, and the trace a caller is part of (W3C Trace Context).

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, Uri};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use super::TelemetryError;

/// Sends spans to a collector, in batches, from a thread of its own.
pub(super) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// An exporter to this collector. Nothing is sent yet: a collector that is down must not keep the server from starting.
    pub(super) fn new(endpoint: &Uri) -> Result<Self, TelemetryError> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint.to_string()).build();
        let exporter = exporter.map_err(|cause| TelemetryError::Exporter {
            endpoint: endpoint.authority().map_or(String::new(), |authority| authority.host().to_owned()),
            cause: cause.to_string(),
        })?;
        Ok(Self::with(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build()))
    }

    pub(super) fn with(provider: SdkTracerProvider) -> Self {
        Self(provider)
    }

    /// The layer that takes our own spans, and not those of the libraries that carry them away.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + Send + Sync + for<'a> LookupSpan<'a>,
    {
        let ours = Targets::new().with_target(NAME, LevelFilter::DEBUG);
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(NAME))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(ours)
    }

    /// Sends what waits.
    pub(super) async fn shut_down(self) {
        let flushed = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH)).await;
        match flushed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "some traces were not sent"),
            Err(error) => tracing::warn!(%error, "the export of traces broke"),
        }
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter(..)")
    }
}

/// The trace that a request's `traceparent` header names, or none.
pub(super) fn parent(headers: &HeaderMap) -> Option<Context> {
    headers.get("traceparent")?;
    Some(TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers)))
}

/// Who we are to a collector. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win.
fn resource() -> Resource {
    let ours = [KeyValue::new("service.name", NAME), KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))];
    let said = Resource::builder().build();
    let unnamed = |attribute: &KeyValue| match said.get(&attribute.key) {
        Some(value) => value.as_str().starts_with("unknown_service"),
        None => true,
    };
    Resource::builder().with_attributes(ours.into_iter().filter(unnamed)).build()
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

/// The service's name, and the root of our modules' targets.
const NAME: &str = "gatepost";

/// How long the end of the process waits for the last traces.
const FLUSH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TraceContextExt;

    use super::*;

    #[test]
    fn a_trace_is_taken_from_its_header_and_nowhere_else() {
        let parent_of = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([(http::HeaderName::from_static("traceparent"), value.parse().unwrap())]);
            parent(&headers).map(|context| context.span().span_context().clone())
        };
        let context = parent_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(context.is_remote() && context.is_sampled());
        for bad in ["", "junk", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            assert!(!parent_of(bad).unwrap().is_valid(), "{bad:?}");
        }
        assert!(parent(&HeaderMap::new()).is_none());
    }

    #[test]
    fn we_are_known_by_our_name() {
        assert_eq!(resource().get(&"service.name".into()).unwrap().as_str(), "gatepost");
        assert_eq!(resource().get(&"service.version".into()).unwrap().as_str(), env!("CARGO_PKG_VERSION"));
    }
}
