//! What the metrics count and say.

use prometheus::proto::MetricType;

use super::table::{METRICS, markdown_table};
use super::*;
use crate::config::readme;

fn touched() -> Metrics {
    let metrics = Metrics::new();
    metrics.answered(
        MethodId::find("/gatepost.v1.Auth/Verify"),
        Wire::GrpcWeb,
        Status::Grpc(16),
        Duration::from_micros(80),
    );
    metrics.answered(None, Wire::Json, Status::Http(404), Duration::from_secs(2));
    metrics.store.follow("read", 3, 8);
    metrics
}

#[test]
fn what_happened_is_told_with_its_labels() {
    let text = touched().encode();
    for line in [
        r#"gatepost_requests_total{rpc="gatepost.v1.Auth/Verify",status="UNAUTHENTICATED",wire="grpc_web"} 1"#,
        r#"gatepost_requests_total{rpc="other",status="404",wire="json"} 1"#,
        r#"gatepost_request_seconds_bucket{rpc="gatepost.v1.Auth/Verify",wire="grpc_web",le="0.00005"} 0"#,
        r#"gatepost_request_seconds_bucket{rpc="gatepost.v1.Auth/Verify",wire="grpc_web",le="0.0001"} 1"#,
        r#"gatepost_request_seconds_count{rpc="other",wire="json"} 1"#,
        r#"gatepost_store_connections{pool="read"} 3"#,
        r#"gatepost_store_connections_max{pool="read"} 8"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn every_method_wire_and_status_has_a_place_of_its_own() {
    let metrics = Metrics::new();
    for method in MethodId::all().map(Some).chain([None]) {
        for wire in Wire::ALL {
            let grpc = (-1..=17).map(Status::Grpc);
            let http = HTTP_STATUSES.into_iter().map(|(status, _)| status).chain([0, 302, 999]).map(Status::Http);
            for status in grpc.chain(http) {
                metrics.answered(method, wire, status, Duration::ZERO);
            }
        }
    }
    let text = metrics.encode();
    let series: Vec<&str> = text.lines().filter(|line| line.starts_with("gatepost_requests_total{")).collect();
    assert_eq!(series.len(), (METHODS.len() + 1) * Wire::ALL.len() * Status::PLACES);
    for line in series {
        // -1, 2 and 17 are all UNKNOWN; 0, 302 and 999 have no series of their own.
        let several = line.contains("\"UNKNOWN\"") || line.contains("status=\"other\"");
        assert!(line.ends_with(if several { " 3" } else { " 1" }), "{line}");
    }
}

#[test]
fn the_caches_own_counts_are_followed() {
    let metrics = Metrics::new();
    metrics.cache.follow(5, 2, 1, 0, 7);
    metrics.cache.follow(9, 2, 1, 1, 6);
    let text = metrics.encode();
    for line in [
        r#"gatepost_cache_lookups_total{outcome="hit"} 9"#,
        r#"gatepost_cache_lookups_total{outcome="miss"} 2"#,
        "gatepost_cache_evictions_total 1",
        "gatepost_cache_invalidations_total 1",
        "gatepost_cache_entries 6",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[test]
fn decisions_are_counted_by_code_and_door_and_start_at_zero() {
    let metrics = Metrics::new();
    metrics.decided(Door::Verify, None);
    metrics.decided(Door::Guard, Some(Reason::Suspended));
    metrics.decided(Door::Guard, Some(Reason::Suspended));
    let text = metrics.encode();
    let value = |code: &str, door: &str| {
        let series = format!("gatepost_decisions_total{{code=\"{code}\",door=\"{door}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).map(str::to_owned)
    };
    assert_eq!(value("VALID", "verify").as_deref(), Some("1"));
    assert_eq!(value("SUSPENDED", "guard").as_deref(), Some("2"));
    for code in (1..=20).filter_map(|code| DecisionCode::try_from(code).ok()) {
        for door in Door::ALL {
            assert!(value(code.as_str_name(), door.as_str()).is_some(), "{code:?} at {door:?}");
        }
    }
}

#[test]
fn reasons_have_places_by_their_order() {
    for (place, reason) in Reason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, place);
    }
    for (place, wire) in Wire::ALL.into_iter().enumerate() {
        assert_eq!(wire as usize, place);
    }
    for (number, name) in (0..).zip(GRPC_STATUSES) {
        let code = format!("{:?}", tonic::Code::from_i32(number)).to_ascii_uppercase();
        assert_eq!(name.replace('_', ""), code);
    }
    assert!(HTTP_STATUSES.is_sorted());
}

#[test]
fn the_registry_holds_what_the_table_says() {
    let kind = |kind| match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        _ => "something else",
    };
    let mut told: Vec<(String, &str, String, Vec<String>)> = METRICS
        .iter()
        .map(|m| {
            let mut labels: Vec<String> = m.labels.iter().map(ToString::to_string).collect();
            labels.sort();
            (m.name.to_owned(), m.kind, m.help.to_owned(), labels)
        })
        .collect();
    told.sort();
    let families = touched().registry.gather();
    let held: Vec<(String, &str, String, Vec<String>)> = families
        .iter()
        .map(|f| {
            let labels = f.get_metric()[0].get_label().iter().map(|label| label.name().to_owned()).collect();
            (f.name().to_owned(), kind(f.get_field_type()), f.help().to_owned(), labels)
        })
        .collect();
    assert_eq!(held, told);
}

#[test]
fn the_readme_has_the_table() {
    readme::assert_section("metrics", &markdown_table());
}
