//! Where the master key comes from, and its file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::domain::entropy::Entropy;
use crate::domain::sealing::MasterKey;

/// Where the master key comes from.
#[derive(Clone, Debug)]
pub enum MasterKeySource {
    /// The environment gave it.
    Given(MasterKey),
    /// This file holds it, or will.
    File(PathBuf),
}

/// Why there is no master key.
#[derive(Debug, Error)]
pub enum MasterKeyError {
    /// Others than its owner can read the file.
    #[error("{path}: others than its owner can read or write the master key (mode {mode:04o}): chmod 600 {path}")]
    Exposed {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else.
    #[error("{path}: holds no master key, which is 32 bytes in base64; put the right file back from your backup")]
    Malformed {
        /// The file.
        path: String,
    },
    /// The file cannot be read or made.
    #[error("{path}: the master key cannot be {what}: {cause}")]
    Unusable {
        /// The file.
        path: String,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        cause: io::Error,
    },
}

impl MasterKeySource {
    pub(super) fn new(given: Option<MasterKey>, data_dir: &Path) -> Self {
        given.map_or_else(|| Self::File(data_dir.join(FILE)), Self::Given)
    }

    /// The master key; none if its file does not exist yet.
    pub fn load(&self) -> Result<Option<MasterKey>, MasterKeyError> {
        match self {
            Self::Given(key) => Ok(Some(key.clone())),
            Self::File(path) => read(path),
        }
    }

    /// The master key. Where its file does not exist yet it is made, with mode 0600, in a directory of mode 0700.
    pub fn load_or_create(&self, entropy: &dyn Entropy) -> Result<MasterKey, MasterKeyError> {
        match self {
            Self::Given(key) => Ok(key.clone()),
            Self::File(path) => read_or_create(path, entropy),
        }
    }

    /// The master key that is to take the place of the one in the file: in a file beside it, which is made if it is not there.
    /// None where the environment gives the master key.
    pub fn load_or_create_next(&self, entropy: &dyn Entropy) -> Result<Option<MasterKey>, MasterKeyError> {
        match self {
            Self::Given(_) => Ok(None),
            Self::File(path) => read_or_create(&next(path), entropy).map(Some),
        }
    }

    /// Puts the file of [`Self::load_or_create_next`] in the place of the master key's, in one step.
    pub fn take_next(&self) -> Result<(), MasterKeyError> {
        let Self::File(path) = self else { return Ok(()) };
        let renamed = fs::rename(next(path), path).and_then(|()| File::open(directory(path))?.sync_all());
        renamed.map_err(|error| unusable(path, "replaced", error))
    }
}

fn next(path: &Path) -> PathBuf {
    path.with_extension("key.next")
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn read_or_create(path: &Path, entropy: &dyn Entropy) -> Result<MasterKey, MasterKeyError> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    create(path, &MasterKey::generate(entropy))?;
    // Read it back: if another start made the file first, its key counts.
    read(path)?.ok_or_else(|| unusable(path, "read", io::ErrorKind::NotFound.into()))
}

fn read(path: &Path) -> Result<Option<MasterKey>, MasterKeyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, "read", error)),
    };
    let mode = file.metadata().map_err(|error| unusable(path, "read", error))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::Exposed { path: path.display().to_string(), mode });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE));
    file.take(MAX_FILE as u64).read_to_end(&mut text).map_err(|error| unusable(path, "read", error))?;
    let key = std::str::from_utf8(&text).ok().and_then(MasterKey::parse);
    key.map(Some).ok_or_else(|| MasterKeyError::Malformed { path: path.display().to_string() })
}

/// Makes the file whole or not at all, and never over one that is there: a lost master key is lost for good.
fn create(path: &Path, key: &MasterKey) -> Result<(), MasterKeyError> {
    let failed = |error| unusable(path, "made", error);
    let directory = directory(path);
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let draft = path.with_extension(format!("draft.{}", std::process::id()));
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    let written = file.write_all(format!("{}\n", *key.to_base64()).as_bytes()).and_then(|()| file.sync_all());
    // A hard link fails where a file of this name exists; a rename would replace it.
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    });
    let _ = fs::remove_file(&draft);
    linked.and_then(|()| File::open(directory)?.sync_all()).map_err(failed)
}

fn unusable(path: &Path, what: &'static str, cause: io::Error) -> MasterKeyError {
    MasterKeyError::Unusable { path: path.display().to_string(), what, cause }
}

const FILE: &str = "master.key";

/// Far more than 32 bytes take in base64, so that a wrong file is seen to be one.
const MAX_FILE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;

    fn source(directory: &Path) -> (MasterKeySource, PathBuf) {
        let path = directory.join("data/master.key");
        (MasterKeySource::File(path.clone()), path)
    }

    #[test]
    fn the_first_start_makes_a_private_file_and_the_second_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let (source, path) = source(directory.path());
        assert!(source.load().unwrap().is_none());
        let first = source.load_or_create(&SystemEntropy).unwrap();
        let second = source.load_or_create(&SystemEntropy).unwrap();
        assert_eq!(first.check(), second.check());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "the draft is gone");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (source, path) = source(directory.path());
        source.load_or_create(&SystemEntropy).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = source.load().unwrap_err().to_string();
            assert!(error.contains("chmod 600") && error.contains(&format!("{mode:04o}")), "{error}");
        }
    }

    #[test]
    fn a_file_that_holds_something_else_is_neither_taken_nor_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (source, path) = source(directory.path());
        source.load_or_create(&SystemEntropy).unwrap();
        for content in ["", "hunter2", "c2hvcnQ=", &"A".repeat(1000)] {
            fs::write(&path, content).unwrap();
            let error = source.load_or_create(&SystemEntropy).unwrap_err().to_string();
            assert!(error.contains("holds no master key") && !error.contains("hunter2"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_file_made_in_the_meantime_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (source, path) = source(directory.path());
        let kept = source.load_or_create(&SystemEntropy).unwrap();
        create(&path, &MasterKey::generate(&SystemEntropy)).unwrap();
        assert_eq!(source.load().unwrap().unwrap().check(), kept.check());
    }

    #[test]
    fn the_next_one_waits_beside_it_until_it_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let (source, path) = source(directory.path());
        let old = source.load_or_create(&SystemEntropy).unwrap();
        let next = source.load_or_create_next(&SystemEntropy).unwrap().unwrap();
        let again = source.load_or_create_next(&SystemEntropy).unwrap().unwrap();
        assert_eq!(next.check(), again.check(), "one that waits is not made anew");
        assert_eq!(source.load().unwrap().unwrap().check(), old.check());
        source.take_next().unwrap();
        assert_eq!(source.load().unwrap().unwrap().check(), next.check());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert!(source.take_next().is_err(), "there is none");

        let given = MasterKeySource::Given(old);
        assert!(given.load_or_create_next(&SystemEntropy).unwrap().is_none());
    }
}
