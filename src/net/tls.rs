//! TLS 1.2 and 1.3 with a certificate that may be replaced while the server runs.
//!
//! The files are read again every few seconds and compared by content, which also sees what changes of time and size
//! would not (a symbolic link turned, a file restored with its old time). New connections get the new certificate, old
//! ones keep theirs; files that cannot be used leave the old certificate in place.

use std::convert::Infallible;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error as RustlsError, InconsistentKeys, ServerConfig};
use rustls_pki_types::pem::{Error as PemError, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// A certificate and its key, from two PEM files.
#[derive(Clone, Debug)]
pub struct Tls {
    files: Files,
    reload_interval: Duration,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// Why a certificate cannot be used. Names the file and what was expected of it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A file is not what its place asks for.
    #[error("{}: {rule}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Both files are fine, but not together.
    #[error("{}: the key does not belong to the first certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file of the certificates.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

impl Tls {
    /// Loads a certificate chain (the server's own certificate first) and its unencrypted private key (PKCS#8, PKCS#1
    /// or SEC1), both PEM.
    pub fn load(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.into(), key: key.into() };
        let provider = Arc::new(provider::default_provider());
        let contents = files.read()?;
        let certified = files.parse(&contents, &provider)?;
        let current = Arc::new(Current {
            certified: RwLock::new(Arc::new(certified)),
            seen: Mutex::new(contents.fingerprint()),
            provider: provider.clone(),
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            // The provider is a constant, and it has suites for both versions.
            .expect("aws_lc_rs supports TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { files, reload_interval: RELOAD_INTERVAL, current, config: Arc::new(config) })
    }

    /// Looks for new files this often instead of every 5 seconds.
    #[must_use]
    pub fn reload_every(mut self, interval: Duration) -> Self {
        self.reload_interval = interval;
        self
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// Takes up new files as they come, for ever.
    pub(super) async fn watch(&self) -> Infallible {
        loop {
            tokio::time::sleep(self.reload_interval).await;
            let tls = self.clone();
            let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
            match reloaded {
                Ok(Ok(true)) => tracing::info!(file = %self.files.certificate.display(), "certificate reloaded"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the new certificate is not used; the old one stays"),
                Err(_) => tracing::error!("reading the certificate panicked; the old one stays"),
            }
        }
    }

    /// Takes up the files if their contents are new. Contents that cannot be used are refused once, and then not looked
    /// at again until they change.
    fn reload(&self) -> Result<bool, TlsError> {
        let contents = self.files.read();
        let fingerprint = contents.as_ref().map_or(UNREADABLE, Contents::fingerprint);
        {
            let mut seen = self.current.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == fingerprint {
                return Ok(false);
            }
            *seen = fingerprint;
        }
        let certified = self.files.parse(&contents?, &self.current.provider)?;
        *self.current.certified.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
        Ok(true)
    }
}

/// The certificate that new connections get.
struct Current {
    certified: RwLock<Arc<CertifiedKey>>,
    /// Fingerprint of the last contents looked at, used or refused.
    seen: Mutex<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Current")
    }
}

#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Contents {
    fn fingerprint(&self) -> [u8; 32] {
        let mut both = [0; 64];
        both[..32].copy_from_slice(digest(&SHA256, &self.certificate).as_ref());
        both[32..].copy_from_slice(digest(&SHA256, &self.key).as_ref());
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, &both).as_ref());
        fingerprint
    }
}

impl Files {
    fn read(&self) -> Result<Contents, TlsError> {
        Ok(Contents { certificate: read(&self.certificate)?, key: Zeroizing::new(read(&self.key)?) })
    }

    fn parse(&self, contents: &Contents, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let unusable = |path: &Path, rule| TlsError::Unusable { path: path.to_owned(), rule };
        let chain = CertificateDer::pem_slice_iter(&contents.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| unusable(&self.certificate, "is not well-formed PEM"))?;
        if chain.is_empty() {
            return Err(unusable(&self.certificate, "holds no certificate; a PEM section CERTIFICATE is expected"));
        }
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| {
            let rule = match error {
                PemError::NoItemsFound if is_encrypted(&contents.key) => {
                    "holds an encrypted key; it must be unencrypted"
                }
                PemError::NoItemsFound => {
                    "holds no private key; a PEM section PRIVATE KEY (PKCS#8), RSA PRIVATE KEY (PKCS#1) or \
                     EC PRIVATE KEY (SEC1) is expected"
                }
                _ => "is not well-formed PEM",
            };
            unusable(&self.key, rule)
        })?;
        let key = provider.key_provider.load_private_key(key).map_err(|_| {
            unusable(&self.key, "holds a key that is damaged or of a kind that TLS cannot use (RSA from 2048 bits, P-256, P-384, P-521 and Ed25519 can)")
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(RustlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
            Err(RustlsError::InconsistentKeys(_)) => {
                Err(TlsError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() })
            }
            Err(_) => Err(unusable(&self.certificate, "starts with a certificate that is not well-formed X.509")),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // Room for all at once: a buffer that grows leaves copies of the key behind.
    let mut contents = Vec::with_capacity(LARGEST_FILE as usize + 1);
    file.take(LARGEST_FILE + 1).read_to_end(&mut contents).map_err(unreadable)?;
    if contents.len() as u64 > LARGEST_FILE {
        return Err(TlsError::Unusable { path: path.to_owned(), rule: "is larger than 256 KiB" });
    }
    Ok(contents)
}

fn is_encrypted(pem: &[u8]) -> bool {
    let marker = b"ENCRYPTED";
    pem.windows(marker.len()).any(|window| window == marker)
}

/// How often the files are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// Bytes of a file at most. A long chain is 20 KiB.
const LARGEST_FILE: u64 = 256 * 1024;

/// Stands for files that cannot be read, so that this too is said once.
const UNREADABLE: [u8; 32] = [0; 32];
