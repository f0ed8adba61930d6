//! What can be seen of a running server from outside: its log, its traces and its metrics.
//!
//! Owns the forms of all three and what they say of a request. Knows no service and no store: they are handed the handles
//! they count with. No secret goes in here; of a key only its id does.

pub mod log;
pub mod metrics;
mod request_span;
mod trace;

use std::sync::Arc;

use thiserror::Error;

pub use self::metrics::Metrics;
pub use self::request_span::{Answered, RequestSpan};
use self::trace::Exporter;
use crate::config::Config;

/// How a request reached us.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Wire {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web, binary or text.
    GrpcWeb,
    /// HTTP and JSON.
    Json,
}

impl Wire {
    /// All wires, in order.
    pub const ALL: [Self; 3] = [Self::Grpc, Self::GrpcWeb, Self::Json];

    /// The word, as it stands in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb => "grpc_web",
            Self::Json => "json",
        }
    }
}

/// The log, the traces and the metrics of one process.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
    exporter: Option<Exporter>,
}

/// Why the log or the export of traces could not be started.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// Something else took the log of this process already.
    #[error("the log of this process is taken already")]
    Taken,
    /// The exporter refuses its configuration.
    #[error("traces cannot be exported to {endpoint}: {cause}")]
    Exporter {
        /// The collector.
        endpoint: String,
        /// What the exporter says.
        cause: String,
    },
}

impl Telemetry {
    /// Starts the log and, where it is configured, the export of traces. Must run inside the Tokio runtime that will carry
    /// the export, once in a process.
    pub fn start(config: &Config) -> Result<Self, TelemetryError> {
        let exporter = config.otlp_endpoint.as_ref().map(Exporter::new).transpose()?;
        log::install(&config.log, exporter.as_ref())?;
        Ok(Self { metrics: Arc::new(Metrics::new()), exporter })
    }

    /// Metrics alone: nothing is logged and nothing exported. For tests and for commands that do their own talking.
    pub fn silent() -> Self {
        Self { metrics: Arc::new(Metrics::new()), exporter: None }
    }

    /// Makes a command that works on the server's data tell its warnings, on standard error.
    pub fn log_for_a_command() {
        log::install_for_a_command();
    }

    /// The metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Sends the traces that wait, for five seconds at most. The last thing to do before the process ends.
    pub async fn shut_down(self) {
        if let Some(exporter) = self.exporter {
            exporter.shut_down().await;
        }
    }
}
