//! Certificates, handshakes and reloading.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use rcgen::{
    CertificateParams, CertifiedKey, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    PKCS_RSA_SHA256, RsaKeySize, generate_simple_self_signed,
};
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::net::TlsError;

/// A directory with `cert.pem` and `key.pem`.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new(identity: &CertifiedKey<KeyPair>) -> Self {
        let files = Self { directory: tempfile::tempdir().expect("a directory") };
        files.put("cert.pem", &identity.cert.pem());
        files.put("key.pem", &identity.signing_key.serialize_pem());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a writable directory");
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(self.path("cert.pem"), self.path("key.pem"))
    }
}

fn identity() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).expect("a key")
}

async fn handshake(
    server: &Running,
    trusted: &[&CertificateDer<'static>],
    version: &'static SupportedProtocolVersion,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add((*certificate).clone()).expect("a certificate");
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version of the provider")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = "localhost".try_into().expect("a name");
    soon(TlsConnector::from(Arc::new(config)).connect(name, server.connect().await)).await
}

#[tokio::test]
async fn both_protocols_are_served_over_both_versions() {
    let identity = identity();
    let trusted = identity.cert.der();
    for settings in ways() {
        let server = Running::start_tls(settings, Files::new(&identity).load().expect("good files")).await;
        for version in [&TLS12, &TLS13] {
            let socket = handshake(&server, &[trusted], version, &[b"h2", b"http/1.1"]).await.expect("a handshake");
            assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let client = Http2::over(socket).await;
            let (_, answer) = client.get("/connection").await.expect("an answer");
            assert!(String::from_utf8_lossy(&answer).contains("tls: true"), "{settings:?}");
            let (_, body) = client.get("/big").await.expect("an answer");
            assert!(body == pattern(), "{settings:?}: {} bytes", body.len());

            for alpn in [&[&b"http/1.1"[..]][..], &[]] {
                let mut socket = handshake(&server, &[trusted], version, alpn).await.expect("a handshake");
                assert_eq!(socket.get_ref().1.alpn_protocol(), alpn.first().copied());
                assert_eq!(http1(&mut socket, "/").await.0, 200, "{settings:?}");
                assert_eq!(http1(&mut socket, "/").await.0, 200, "{settings:?}: kept alive");
            }
        }
        let foreign = handshake(&server, &[trusted], &TLS13, &[b"spdy/3"]).await;
        assert!(foreign.is_err(), "no protocol in common");
    }
}

#[tokio::test]
async fn a_plain_request_to_a_tls_port_is_not_answered() {
    let server = Running::start_tls(Settings::default(), Files::new(&identity()).load().expect("good files")).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("an open connection");
    assert!(!rest(&mut socket).await.starts_with(b"HTTP"));
    assert_eq!(server.stage.entered.load(SeqCst), 0);
}

#[tokio::test]
async fn a_handshake_that_stalls_is_closed() {
    let settings = Settings { tls_handshake: Duration::from_millis(200), ..Settings::default() };
    let server = Running::start_tls(settings, Files::new(&identity()).load().expect("good files")).await;
    assert_eq!(rest(&mut server.connect().await).await, b"", "no byte");
    let mut socket = server.connect().await;
    socket.write_all(&[0x16, 3, 1, 2, 0, 1]).await.expect("an open connection");
    assert_eq!(rest(&mut socket).await, b"", "the start of a ClientHello");
}

#[tokio::test]
async fn silence_after_the_handshake_is_closed() {
    let identity = identity();
    let settings = Settings { first_byte: Duration::from_millis(200), ..Settings::default() };
    let server = Running::start_tls(settings, Files::new(&identity).load().expect("good files")).await;
    let mut socket = handshake(&server, &[identity.cert.der()], &TLS13, &[b"h2"]).await.expect("a handshake");
    assert_eq!(rest(&mut socket).await, b"");
}

#[tokio::test]
async fn a_drain_ends_tls_connections_too() {
    let identity = identity();
    let server = Running::start_tls(Settings::default(), Files::new(&identity).load().expect("good files")).await;
    let stalled = server.connect().await;
    let mut socket = handshake(&server, &[identity.cert.der()], &TLS13, &[]).await.expect("a handshake");
    assert_eq!(http1(&mut socket, "/").await.0, 200);
    assert_eq!(server.stop().await, DrainReport { finished: 2, cut: 0 });
    let mut rest = Vec::new();
    soon(socket.read_to_end(&mut rest)).await.expect("a close_notify, not a torn connection");
    drop(stalled);
}

#[test]
fn keys_of_every_kind_and_encoding_are_taken() {
    let p256 = self_signed(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"));
    let p384 = self_signed(KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key"));
    let ed25519 = self_signed(KeyPair::generate_for(&PKCS_ED25519).expect("a key"));
    let rsa = self_signed(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key"));
    for (name, identity, label, key) in [
        ("PKCS#8, P-256", &p256, "PRIVATE KEY", p256.signing_key.serialized_der()),
        ("PKCS#8, P-384", &p384, "PRIVATE KEY", p384.signing_key.serialized_der()),
        ("PKCS#8, Ed25519", &ed25519, "PRIVATE KEY", ed25519.signing_key.serialized_der()),
        ("PKCS#8, RSA", &rsa, "PRIVATE KEY", rsa.signing_key.serialized_der()),
        ("SEC1, P-256", &p256, "EC PRIVATE KEY", within_pkcs8(p256.signing_key.serialized_der())),
        ("PKCS#1, RSA", &rsa, "RSA PRIVATE KEY", within_pkcs8(rsa.signing_key.serialized_der())),
    ] {
        let files = Files::new(identity);
        let base64 = base64::engine::general_purpose::STANDARD.encode(key);
        files.put("key.pem", &format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n"));
        if let Err(error) = files.load() {
            panic!("{name}: {error}");
        }
    }
}

fn self_signed(signing_key: KeyPair) -> CertifiedKey<KeyPair> {
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    CertifiedKey { cert: params.self_signed(&signing_key).expect("a certificate"), signing_key }
}

/// What PKCS#8 wraps: SEQUENCE { version INTEGER, algorithm SEQUENCE, key OCTET STRING } (RFC 5208 5).
fn within_pkcs8(der: &[u8]) -> &[u8] {
    fn header(der: &[u8]) -> (usize, usize) {
        match der[1] {
            short @ ..=0x7f => (2, short.into()),
            0x81 => (3, der[2].into()),
            0x82 => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
            _ => panic!("a longer key than any here"),
        }
    }
    let mut der = &der[header(der).0..];
    for _ in 0..2 {
        let (start, length) = header(der);
        der = &der[start + length..];
    }
    let (start, length) = header(der);
    &der[start..start + length]
}

#[test]
fn unusable_files_are_named_with_the_rule_they_break() {
    let good = identity();
    let other = identity();
    let certificate = good.cert.pem();
    let key = good.signing_key.serialize_pem();
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let damaged = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", "AAAA".repeat(20));
    let no_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let large = "x".repeat(300 * 1024);
    let cases: &[(Option<&str>, Option<&str>, &str, &str)] = &[
        (None, Some(&key), "cert.pem", "cannot be read"),
        (Some(&certificate), None, "key.pem", "cannot be read"),
        (Some(""), Some(&key), "cert.pem", "holds no certificate"),
        (Some(&key), Some(&key), "cert.pem", "holds no certificate"),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA"), Some(&key), "cert.pem", "not well-formed PEM"),
        (Some(no_x509), Some(&key), "cert.pem", "not well-formed X.509"),
        (Some(&large), Some(&key), "cert.pem", "larger than 256 KiB"),
        (Some(&certificate), Some(""), "key.pem", "holds no private key"),
        (Some(&certificate), Some(&certificate), "key.pem", "holds no private key"),
        (Some(&certificate), Some(&encrypted), "key.pem", "encrypted"),
        (Some(&certificate), Some(&damaged), "key.pem", "damaged"),
        (Some(&other.cert.pem()), Some(&key), "key.pem", "does not belong"),
    ];
    for (certificate, key, file, rule) in cases {
        let files = Files { directory: tempfile::tempdir().expect("a directory") };
        certificate.iter().for_each(|text| files.put("cert.pem", text));
        key.iter().for_each(|text| files.put("key.pem", text));
        let error = files.load().expect_err(rule).to_string();
        assert!(error.contains(file) && error.contains(rule), "{error:?} should name {file} and say {rule:?}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_old_connections_stay() {
    let (old, new) = (identity(), identity());
    let both = [old.cert.der(), new.cert.der()];
    let files = Files::new(&old);
    let tls = files.load().expect("good files").reload_every(Duration::from_millis(20));
    let server = Running::start_tls(Settings::default(), tls).await;
    let mut before = handshake(&server, &both, &TLS13, &[]).await.expect("a handshake");
    assert_eq!(served(&before), *old.cert.der());
    assert_eq!(http1(&mut before, "/").await.0, 200);

    // Not usable: half of the pair is new, then the files are torn, then gone. The old one stays in use.
    files.put("cert.pem", &new.cert.pem());
    still(&server, &both, &old).await;
    files.put("cert.pem", &new.cert.pem()[..100]);
    still(&server, &both, &old).await;
    fs::remove_file(files.path("key.pem")).expect("a writable directory");
    still(&server, &both, &old).await;

    files.put("cert.pem", &new.cert.pem());
    files.put("key.pem", &new.signing_key.serialize_pem());
    soon(async {
        while served(&handshake(&server, &both, &TLS13, &[]).await.expect("a handshake")) != *new.cert.der() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(http1(&mut before, "/").await.0, 200, "the old connection is still served");
}

fn served(socket: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    socket.get_ref().1.peer_certificates().expect("a handshake")[0].clone()
}

async fn still(server: &Running, trusted: &[&CertificateDer<'static>], expected: &CertifiedKey<KeyPair>) {
    // Several looks at the files pass.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let socket = handshake(server, trusted, &TLS13, &[]).await.expect("a handshake");
    assert_eq!(served(&socket), *expected.cert.der());
}
