//! The log: lines for people or JSON, on standard error. Standard output is for results.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::TelemetryError;
use super::trace::Exporter;
use crate::config::{LogFormat, LogSettings};

/// Makes this process log as configured, and hand its spans to the exporter.
pub(super) fn install(settings: &LogSettings, exporter: Option<&Exporter>) -> Result<(), TelemetryError> {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Registry::default()
        .with(layer(settings, colours, io::stderr))
        .with(exporter.map(Exporter::layer))
        .try_init()
        .map_err(|_| TelemetryError::Taken)
}

/// Makes this process log warnings for people. Where something logs already, that goes on.
pub(super) fn install_for_a_command() {
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).without_time();
    let _ = Registry::default().with(layer.with_filter(LevelFilter::WARN)).try_init();
}

/// The layer that writes the log to `writer`.
fn layer<S, W>(settings: &LogSettings, colours: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // The configuration parsed the same text before.
    let filter = EnvFilter::new(settings.filter.as_str());
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match settings.format {
        LogFormat::People => layer.with_ansi(colours).with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::{Config, Flags};

    #[derive(Clone, Default)]
    pub(in crate::telemetry) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: &str, filter: &str, work: impl FnOnce()) -> String {
        let given = vec![("log_format", format.to_owned()), ("log", filter.to_owned())];
        let settings = Config::load(&Flags { config: None, given }, &|_| None).unwrap().config.log;
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = Registry::default().with(layer(&settings, false, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, work);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_are_json_with_their_fields() {
        let text = logged("json", "info", || {
            tracing::debug!("hidden");
            tracing::error!(request_id = "req_1", "failed");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["message"], &line["request_id"], &line["level"]),
            (&"failed".into(), &"req_1".into(), &"ERROR".into())
        );
    }

    #[test]
    fn a_field_cannot_forge_a_line_or_move_the_cursor() {
        for format in ["people", "json"] {
            let text = logged(format, "info", || tracing::info!(name = "a\n2026 ERROR b\x1b[31m", "made"));
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.contains('\x1b'), "{text:?}");
        }
    }

    #[test]
    fn the_filter_goes_by_module() {
        let text = logged("people", "warn,gatepost=debug", || {
            tracing::debug!("ours");
            tracing::info!(target: "sqlx", "theirs");
        });
        assert!(text.contains("ours") && !text.contains("theirs"), "{text}");
    }
}
