//! TLS at our own door, and the word of a proxy that ends it in front of us.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::wire::PATIENCE;
use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn both_versions_carry_both_protocols() {
    let server = TestServer::builder().tls().start().await;
    let certificate = certificate(&server);
    for (version, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        for (offered, chosen) in [
            (&["h2", "http/1.1"][..], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&["h2"], Some("h2")),
            (&[], None),
        ] {
            let mut socket = handshake(&server, &certificate, version, offered).await.expect("a handshake");
            let connection = socket.get_ref().1;
            assert_eq!(connection.protocol_version(), Some(spoken));
            assert_eq!(connection.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
            let answer = match chosen {
                Some("h2") => ask_h2(socket, &server.live()).await,
                _ => ask(&mut socket, &server.live()).await.expect("an answer"),
            };
            assert!(answer.contains(&server.live().id), "{answer}");
            assert!(answer.contains("strict-transport-security: max-age=63072000"), "{answer}");
        }
        let other = handshake(&server, &certificate, version, &["spdy/3"]).await;
        assert!(other.is_err(), "what we do not speak is not agreed on");
    }
}

#[tokio::test]
async fn hsts_is_on_every_answer_over_tls_and_on_none_without() {
    let server = TestServer::builder().tls().start().await;
    let certificate = certificate(&server);
    let mut socket = handshake(&server, &certificate, &TLS13, &[]).await.expect("a handshake");
    for target in ["/healthz", "/nothing", "/v1/keys", "/v1/auth/whoami"] {
        let answer = ask_for(&mut socket, target, &Actor::anonymous()).await.expect("an answer");
        assert!(answer.contains("strict-transport-security: "), "{target}: {answer}");
    }
    // A browser heeds the header over TLS only (RFC 6797, section 7.2), and a proxy has a policy of its own.
    let plain = TestServer::builder().behind_proxies(1).start().await;
    for target in ["/healthz", "/nothing", "/v1/auth/whoami"] {
        assert_eq!(plain.get(target, &over_https(&plain.live())).await.header("strict-transport-security"), "");
    }
}

#[tokio::test]
async fn what_does_not_speak_tls_gets_no_answer_in_the_clear() {
    let server = TestServer::builder().tls().start().await;
    let request = "GET /v1/auth/whoami HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = server.raw(request.as_bytes()).await;
    assert!(!answer.contains("HTTP/") && !answer.contains("gatepost"), "{answer:?}");
    let mut socket = handshake(&server, &certificate(&server), &TLS13, &[]).await.expect("others are served");
    assert!(ask(&mut socket, &server.live()).await.expect("an answer").starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_while_old_connections_go_on() {
    let server = TestServer::builder().tls().start().await;
    let old = certificate(&server);
    let mut kept = handshake(&server, &old, &TLS13, &["http/1.1"]).await.expect("a handshake");
    ask(&mut kept, &server.live()).await.expect("an answer");
    let (mut auth, call) = (HealthClient::new(server.clients().channel()), HealthCheckRequest::default);
    auth.check(call()).await.expect("an answer");

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
    // The key comes first: for a moment the two files do not belong together, as when a tool replaces them in turn.
    std::fs::write(server.directory().join("key.pem"), made.signing_key.serialize_pem()).expect("it can be written");
    handshake(&server, &old, &TLS13, &[]).await.expect("the old certificate is served meanwhile");
    std::fs::write(server.directory().join("cert.pem"), made.cert.pem()).expect("it can be written");
    let new = certificate(&server);

    let deadline = Instant::now() + Duration::from_secs(30);
    while handshake(&server, &new, &TLS13, &[]).await.is_err() {
        assert!(Instant::now() < deadline, "the new certificate is not taken up");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(handshake(&server, &old, &TLS12, &[]).await.is_err(), "the old certificate is served to nobody new");
    assert!(ask(&mut kept, &server.live()).await.expect("an answer").contains(&server.live().id));
    auth.check(call()).await.expect("the HTTP/2 connection of before goes on too");
}

#[tokio::test]
async fn a_request_that_did_not_come_over_https_is_refused_on_every_wire() {
    let server = TestServer::builder().behind_proxies(1).start().await;
    for wire in Wire::ALL {
        for (proto, served) in [
            (None, false),
            (Some("http"), false),
            (Some("http, https"), false),
            (Some("https, http"), false),
            (Some(""), false),
            (Some("https"), true),
            (Some("HTTPS"), true),
        ] {
            let actor = match proto {
                Some(proto) => server.live().with("x-forwarded-proto", proto),
                None => server.live(),
            };
            let answer = server.call(wire, "Auth/WhoAmI", &actor, json!({})).await;
            if served {
                assert_eq!(answer.ok()["keyId"], server.live().id, "{proto:?} on {wire:?}");
                continue;
            }
            answer.refused("HTTPS_REQUIRED");
            assert_eq!(answer.code, Code::PermissionDenied);
            if wire == Wire::Json {
                assert_eq!((answer.http, &answer.document["error"]), (403, &json!("https_required")));
            }
        }
        // Nobody is told more than that, whoever asks for whatever.
        server.call(wire, "Keys/ListKeys", &Actor::anonymous(), json!({})).await.refused("HTTPS_REQUIRED");
    }
    server.get("/nothing", &Actor::anonymous()).await.expect(403, "HTTPS_REQUIRED");
    server.get("/nothing", &over_https(&Actor::anonymous())).await.expect(404, "UNKNOWN_METHOD");
}

#[tokio::test]
async fn whoever_keeps_the_server_running_asks_past_the_proxy() {
    let server = TestServer::builder().behind_proxies(1).start().await;
    for target in ["/healthz", "/readyz", "/metrics"] {
        server.get(target, &Actor::anonymous()).await.expect(200, "");
    }
    let mut health = HealthClient::new(server.clients().channel());
    health.check(HealthCheckRequest::default()).await.expect("health needs no HTTPS");
}

#[tokio::test]
async fn an_allow_list_believes_the_trusted_hop_and_no_other() {
    // Proxies, X-Forwarded-For, and whether a key that may be used from 203.0.113.0/24 and 2001:db8::/32 is taken.
    let cases: [(usize, &[&str], bool); 17] = [
        (1, &["203.0.113.7"], true),
        (1, &["6.6.6.6, 203.0.113.7"], true),
        (1, &["6.6.6.6", "203.0.113.7"], true),
        (1, &["::ffff:203.0.113.7"], true),
        (1, &["2001:db8::7"], true),
        (1, &["203.0.113.7:4711"], true),
        // What the client wrote itself stands to the left of what the proxy saw.
        (1, &["203.0.113.7, 198.51.100.1"], false),
        (1, &["203.0.113.7", "198.51.100.1"], false),
        (1, &["203.0.113.7, 127.0.0.1"], false),
        // Without the proxy's word nobody is known.
        (1, &[], false),
        (1, &[""], false),
        (1, &["unknown"], false),
        (1, &["203.0.113.7,"], false),
        (2, &["203.0.113.7, 10.0.0.2"], true),
        (2, &["6.6.6.6, 203.0.113.7", "10.0.0.2"], true),
        (2, &["203.0.113.7"], false),
        (2, &["203.0.113.7, 198.51.100.1, 10.0.0.2"], false),
    ];
    for proxies in [1, 2] {
        let server = TestServer::builder().behind_proxies(proxies).start().await;
        let maker = over_https(&server.live());
        let request = json!({"name": "from the office", "allowedIps": ["203.0.113.0/24", "2001:db8::/32"]});
        let key = server.new_key_by(&maker, request).await;
        for (_, forwarded, taken) in cases.iter().filter(|(count, ..)| *count == proxies) {
            let actor = forwarded.iter().fold(over_https(&key), |actor, value| actor.with("x-forwarded-for", value));
            for wire in Wire::THREE {
                let answer = server.call(wire, "Auth/WhoAmI", &actor, json!({})).await;
                let wanted = if *taken { "" } else { "IP_DENIED" };
                assert_eq!(answer.reason, wanted, "{proxies} proxies, {forwarded:?}, {wire:?}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_trusted_proxy_forwarding_headers_say_nothing() {
    let server = TestServer::start().await;
    let office = server.new_key(json!({"name": "from the office", "allowedIps": ["203.0.113.0/24"]})).await;
    let here = server.new_key(json!({"name": "from here", "allowedIps": ["127.0.0.1"]})).await;
    for wire in Wire::THREE {
        let forge = |key: &Actor| key.clone().with("x-forwarded-for", "203.0.113.7").with("x-real-ip", "203.0.113.7");
        server.call(wire, "Auth/WhoAmI", &forge(&office), json!({})).await.refused("IP_DENIED");
        server.call(wire, "Auth/WhoAmI", &forge(&here), json!({})).await.ok();
        // The address of the end client in a question is the asker's word, not the connection's.
        let asked = json!({"credential": office.secret, "clientIp": "203.0.113.9"});
        assert_eq!(server.call(wire, "Auth/Verify", &server.live(), asked).await.ok()["code"], "VALID");
    }
}

/// As a proxy passes it on that ended TLS.
fn over_https(actor: &Actor) -> Actor {
    actor.clone().with("x-forwarded-proto", "https")
}

/// The certificate that lies in the server's directory now.
fn certificate(server: &TestServer) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(server.directory().join("cert.pem")).expect("a certificate")
}

async fn handshake(
    server: &TestServer,
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    protocols: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version of the provider")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let socket = TcpStream::connect(server.address()).await?;
    let name = "localhost".try_into().expect("a name");
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, socket)).await.expect("it ends")
}

/// Asks who somebody is, over HTTP/1.1; the answer in lower case, head and body.
async fn ask(socket: &mut TlsStream<TcpStream>, actor: &Actor) -> io::Result<String> {
    ask_for(socket, "/v1/auth/whoami", actor).await
}

async fn ask_for(socket: &mut TlsStream<TcpStream>, target: &str, actor: &Actor) -> io::Result<String> {
    let authorization = match actor.secret.as_str() {
        "" => String::new(),
        secret => format!("Authorization: Bearer {secret}\r\n"),
    };
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{authorization}\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.map_or(0, |length| length.parse().expect("a number")) {
                    return Ok(text);
                }
            }
            if socket.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    timeout(PATIENCE, read).await.expect("the answer comes")
}

/// Asks who somebody is, over HTTP/2; the answer's headers and body.
async fn ask_h2(socket: TlsStream<TcpStream>, actor: &Actor) -> String {
    let (mut requests, connection) = h2::client::handshake(socket).await.expect("HTTP/2 is spoken");
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/v1/auth/whoami")
        .header("authorization", format!("Bearer {}", actor.secret))
        .body(())
        .expect("a request");
    let (response, _) = requests.send_request(request, true).expect("the stream is open");
    let response = timeout(PATIENCE, response).await.expect("the answer comes").expect("an answer");
    let (head, mut body) = response.into_parts();
    let mut text: String =
        head.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("text"))).collect();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.expect("the body comes whole");
        body.flow_control().release_capacity(chunk.len()).expect("what was taken can be given back");
        text += &String::from_utf8_lossy(&chunk);
    }
    connection.abort();
    text
}
