//! Clients that are known by the address of a document (OAuth Client ID Metadata Document), from the document to the last token,
//! and what nobody gets by naming an address.

mod flow;
mod life;
mod refused;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::oauth::{Browser, CALLBACK, CHALLENGE, Client, authorize, claims, code, error, exchange, post};
use crate::support::server::Builder;
use crate::support::{Actor, Reply, TestServer, Wire};

const SIGNED_OUT: &str = "https://app.example.com/bye";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A site that serves documents over TLS, and can be told what to answer.
struct Site {
    port: u16,
    certificate: CertificateDer<'static>,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
    calls: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Page {
    /// All of the answer: its head and its body.
    bytes: Vec<u8>,
    /// How long it takes to come.
    pause: Duration,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let CertifiedKey { cert, signing_key }: CertifiedKey<KeyPair> =
            generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        let (pages, calls) = (Arc::<Mutex<BTreeMap<String, Page>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let shared = (Arc::clone(&pages), Arc::clone(&calls));
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tls, pages, calls) = (tls.clone(), Arc::clone(&shared.0), Arc::clone(&shared.1));
                tokio::spawn(async move {
                    let Ok(mut stream) = tls.accept(socket).await else { return };
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    let head = String::from_utf8(head).unwrap();
                    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    let page = pages.lock().unwrap().get(&target).cloned();
                    calls.lock().unwrap().push(target);
                    let page = page.unwrap_or_else(|| Page {
                        bytes: b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
                        pause: Duration::ZERO,
                    });
                    tokio::time::sleep(page.pause).await;
                    let _ = stream.write_all(&page.bytes).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { port, certificate: cert.der().clone(), pages, calls, task }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn answer(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let page = Page { bytes: bytes.into(), pause: Duration::ZERO };
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    /// Serves a document of a public client with these members too; its address.
    fn serve(&self, path: &str, more: Value) -> String {
        self.serve_with(path, "Cache-Control: max-age=600\r\n", more)
    }

    fn serve_with(&self, path: &str, head: &str, more: Value) -> String {
        let mut document = json!({
            "client_id": self.url(path), "client_name": "Agent", "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token", DEVICE_CODE],
            "post_logout_redirect_uris": [SIGNED_OUT],
        });
        for (name, value) in more.as_object().unwrap() {
            document[name] = value.clone();
        }
        self.answer(path, json_answer(head, &document.to_string()));
        self.url(path)
    }

    fn slowly(&self, path: &str, pause: Duration) {
        self.pages.lock().unwrap().get_mut(path).unwrap().pause = pause;
    }

    fn stop_serving(&self, path: &str) {
        self.pages.lock().unwrap().remove(path);
    }

    fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

fn json_answer(head: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}Content-Length: {length}\r\n\r\n{body}")
}

/// A server that reaches the site and takes its clients, and Ada.
async fn scene(site: &Site) -> TestServer {
    let server = reaching(site).start().await;
    allow(&server, true).await;
    server.person(&server.live(), "ada", &["read:users", "write:users"]).await;
    server
}

fn reaching(site: &Site) -> Builder {
    TestServer::builder().set("stranger_private_addresses", "127.0.0.0/8").trusting(site.certificate.clone())
}

async fn allow(server: &TestServer, documents: bool) {
    let project = json!({
        "id": "default", "clientIdMetadataDocuments": documents, "registrationScopes": ["read:users"],
        "registrationResources": ["https://mcp.example.com/"],
    });
    let mask = "clientIdMetadataDocuments,registrationScopes,registrationResources";
    let request = json!({"project": project, "updateMask": mask});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), request).await.ok();
}

fn client(url: &str) -> Client {
    Client { id: url.to_owned(), secret: String::new() }
}

async fn ask(server: &TestServer, path: &str, url: &str, form: &[(&str, &str)]) -> Reply {
    post(server, path, None, &[form, &[("client_id", url)]].concat()).await
}

async fn push(server: &TestServer, url: &str, more: &[(&str, &str)]) -> Reply {
    let mut form = vec![
        ("client_id", url),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid read:users"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    form.extend(more);
    post(server, "/oauth/par", None, &form).await
}

async fn start_device(server: &TestServer, url: &str) -> Reply {
    ask(server, "/oauth/device_authorization", url, &[("scope", "openid read:users")]).await
}

/// Tokens that Ada agreed to.
async fn tokens(server: &TestServer, url: &str) -> Value {
    let code = code(server, &client(url)).await;
    ask(server, "/oauth/token", url, &exchange(&code)).await.expect(200, "").json()
}

/// The clients that there are, by their documents.
async fn listed(server: &TestServer) -> Vec<Value> {
    let listed = server.call(Wire::Grpc, "Auth/ListClients", &server.live(), json!({})).await.ok();
    listed["data"].as_array().cloned().unwrap_or_default()
}

/// Somebody is told here what is wrong, and sent nowhere.
fn is_told(reply: &Reply, words: &str) {
    assert_eq!((reply.status, reply.header("location")), (400, ""), "{words}: {reply:?}");
    assert!(reply.text.contains(words), "{words}: {reply:?}");
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}"))
}
