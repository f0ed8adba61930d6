//! The keys that a project begins with.

use super::clock::Clock;
use super::entropy::Entropy;
use super::environment::Environment;
use super::id::{KeyId, ProjectId};
use super::key::{Key, KeyDetails, KeyKind};
use super::project::Project;
use super::scope::ScopeSet;
use super::sealing::Keyring;
use super::secret::{PlainSecret, SecretHash, SecretPrefix};

/// A key that may do everything in its project and environment, made by whoever runs the server or the installation.
#[derive(Debug)]
pub struct AdministratorKey {
    /// The key.
    pub key: Key,
    /// Its secret, to be shown once.
    pub secret: PlainSecret,
}

impl AdministratorKey {
    /// Makes one; it works once it is stored.
    pub fn new(
        project: &ProjectId,
        prefix: &SecretPrefix,
        environment: Environment,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Self {
        let now = clock.now();
        let secret = PlainSecret::generate(prefix, environment, entropy);
        let key = Key {
            id: KeyId::new(now, entropy),
            project: project.clone(),
            environment,
            kind: KeyKind::Secret,
            user: None,
            details: KeyDetails {
                name: format!("administrator ({environment})"),
                description: "Made on the command line of the server".to_owned(),
                scopes: ScopeSet::admin(),
                ..KeyDetails::default()
            },
            recoverable: false,
            hint: secret.hint().into(),
            rotation: None,
            created_by: None,
            created_at: now,
            updated_at: now,
            suspended_at: None,
            revoked_at: None,
            version: 1,
        };
        Self { key, secret }
    }

    /// Makes one for a project, with the prefix that it chose.
    pub fn of(project: &Project, environment: Environment, clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        Self::new(&project.id, &project.details.secret_prefix, environment, clock, entropy)
    }

    /// What the store looks it up by.
    pub fn hash(&self, keyring: &Keyring) -> SecretHash {
        keyring.hash(self.secret.expose())
    }
}
