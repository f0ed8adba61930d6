//! Where the database is and how much it may be used.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::error::OpenError;

/// How to open the store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Where the database is.
    pub location: Location,
    /// Connections that read at the same time: with a file, beside the one that writes and
    /// those that reports are made by; with a server, in all.
    pub connections: u32,
    /// How long one operation may take, with all its waiting, before the database counts as lost.
    pub timeout: Duration,
}

impl StoreOptions {
    /// The database in this file; it is made if it is not there.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { location: Location::File(path.into()), connections: 4, timeout: TIMEOUT }
    }

    /// The database of this URL: `sqlite:<path>` or `postgres://user:password@host/database`.
    pub fn url(url: &str) -> Result<Self, OpenError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" | ":memory:" => Err(OpenError::BadUrl("names no file")),
                _ if path.contains('?') => Err(OpenError::BadUrl("has parameters, which a file does not take")),
                _ => Ok(Self::file(path)),
            };
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let location = Location::Server(url.to_owned());
            return Ok(Self { location, connections: 10, timeout: TIMEOUT });
        }
        Err(OpenError::BadUrl("names no database that gatepost knows"))
    }
}

/// Where the database is.
#[derive(Clone)]
pub enum Location {
    /// A file of this machine.
    File(PathBuf),
    /// A server, by URL.
    Server(String),
}

impl fmt::Debug for Location {
    /// Does not show the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Server(_) => f.write_str("Server(..)"),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(2);
