//! From domain values to messages.

mod oauth;

use prost_types::{Duration as WireDuration, Timestamp as WireTimestamp};

pub(super) use self::oauth::{client, client_kind_in, grant, issuer, token_format_in};
use super::limits;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::key::{Key, KeyKind, KeyState, Rotation, RotationMode};
use crate::domain::leak::LeakPolicy;
use crate::domain::network::AddressMode;
use crate::domain::product::Product;
use crate::domain::project::{ClientRegistration, Project, SignUp};
use crate::domain::scope::ScopeSet;
use crate::domain::usage::LastUse;
use crate::domain::user::{User, UserKind, UserState};
use crate::proto::v1;
use crate::service::scopes::RegisteredScope;

pub(super) fn time(at: Timestamp) -> WireTimestamp {
    let (micros, second) = (at.micros(), 1_000_000);
    // The remainder is below a million, so it fits as nanoseconds.
    WireTimestamp { seconds: micros.div_euclid(second), nanos: (micros.rem_euclid(second) * 1_000) as i32 }
}

pub(super) fn environment(environment: Environment) -> v1::Environment {
    match environment {
        Environment::Live => v1::Environment::Live,
        Environment::Test => v1::Environment::Test,
    }
}

pub(super) fn environment_in(environment: v1::Environment) -> Option<Environment> {
    match environment {
        v1::Environment::Unspecified => None,
        v1::Environment::Live => Some(Environment::Live),
        v1::Environment::Test => Some(Environment::Test),
    }
}

pub(super) fn kind(kind: KeyKind) -> v1::key::Type {
    match kind {
        KeyKind::Secret => v1::key::Type::Sk,
        KeyKind::Restricted => v1::key::Type::Rk,
        KeyKind::Publishable => v1::key::Type::Pk,
        KeyKind::User => v1::key::Type::Uk,
    }
}

pub(super) fn kind_in(kind: v1::key::Type) -> Option<KeyKind> {
    match kind {
        v1::key::Type::Unspecified => None,
        v1::key::Type::Sk => Some(KeyKind::Secret),
        v1::key::Type::Rk => Some(KeyKind::Restricted),
        v1::key::Type::Pk => Some(KeyKind::Publishable),
        v1::key::Type::Uk => Some(KeyKind::User),
    }
}

pub(super) fn state(state: KeyState) -> v1::key::State {
    match state {
        KeyState::Active => v1::key::State::Active,
        KeyState::Suspended => v1::key::State::Suspended,
        KeyState::Revoked => v1::key::State::Revoked,
        KeyState::Expired => v1::key::State::Expired,
    }
}

pub(super) fn state_in(state: v1::key::State) -> Option<KeyState> {
    match state {
        v1::key::State::Unspecified => None,
        v1::key::State::Active => Some(KeyState::Active),
        v1::key::State::Suspended => Some(KeyState::Suspended),
        v1::key::State::Revoked => Some(KeyState::Revoked),
        v1::key::State::Expired => Some(KeyState::Expired),
    }
}

pub(super) fn mode_in(mode: v1::key::RotationMode) -> RotationMode {
    match mode {
        v1::key::RotationMode::Unspecified | v1::key::RotationMode::Immediate => RotationMode::Immediate,
        v1::key::RotationMode::FirstUse => RotationMode::FirstUse,
    }
}

pub(super) fn address_mode(mode: AddressMode) -> v1::key::AddressMode {
    match mode {
        AddressMode::Enforce => v1::key::AddressMode::Enforce,
        AddressMode::Report => v1::key::AddressMode::Report,
    }
}

pub(super) fn address_mode_in(mode: v1::key::AddressMode) -> Option<AddressMode> {
    match mode {
        v1::key::AddressMode::Unspecified | v1::key::AddressMode::Enforce => Some(AddressMode::Enforce),
        v1::key::AddressMode::Report => Some(AddressMode::Report),
    }
}

pub(super) fn scopes(scopes: &ScopeSet) -> Vec<String> {
    scopes.iter().map(|scope| scope.spelling().to_owned()).collect()
}

/// A key; without its last use, which is told beside it.
pub(super) fn key(key: Key, now: Timestamp) -> v1::Key {
    v1::Key {
        state: state(key.state(now)).into(),
        etag: key.etag(),
        rotation: key.open_rotation(now).map(rotation),
        id: key.id.to_string(),
        project: key.project.to_string(),
        environment: environment(key.environment).into(),
        r#type: kind(key.kind).into(),
        name: key.details.name,
        alias: key.details.alias,
        description: key.details.description,
        owner: key.details.owner,
        scopes: scopes(&key.details.scopes),
        allowed_ips: key.details.allowed_ips.iter().map(range).collect(),
        rate_limits: limits::told(&key.details.rate_limits),
        credits: key.details.credits.map(|quota| limits::told_credits(&quota, now)),
        allowed_ips_mode: address_mode(key.details.allowed_ips_mode).into(),
        honey: key.details.honey,
        metadata: key.details.metadata.to_map(),
        recoverable: key.recoverable,
        user: key.user.map(|id| id.to_string()),
        hint: key.hint.into(),
        created_by: key.created_by.map(|id| id.to_string()),
        created_at: Some(time(key.created_at)),
        updated_at: Some(time(key.updated_at)),
        expires_at: key.details.expires_at.map(time),
        suspended_at: key.suspended_at.map(time),
        revoked_at: key.revoked_at.map(time),
        last_used_at: None,
        last_used_ip: None,
        last_used_user_agent: None,
    }
}

pub(super) fn used_key(key: Key, last: Option<LastUse>, now: Timestamp) -> v1::Key {
    let mut key = self::key(key, now);
    if let Some(LastUse { at, address, user_agent }) = last {
        key.last_used_at = Some(time(at));
        key.last_used_ip = address.map(|address| address.to_string());
        key.last_used_user_agent = user_agent;
    }
    key
}

pub(super) fn product(product: Product) -> v1::Product {
    let (etag, environment) = (product.etag(), environment(product.environment));
    let (price, currency) = product.details.price.map(|price| (price.amount, price.currency)).unzip();
    v1::Product {
        id: product.id.to_string(),
        name: product.details.name,
        description: product.details.description,
        price,
        currency,
        tags: product.details.tags,
        active: Some(product.details.active),
        metadata: product.details.metadata,
        created_at: Some(time(product.created_at)),
        updated_at: Some(time(product.updated_at)),
        deleted_at: product.deleted_at.map(time),
        etag,
        environment: environment.into(),
    }
}

pub(super) fn user(user: User) -> v1::User {
    let (etag, environment) = (user.etag(), environment(user.environment));
    let kind = match user.kind {
        UserKind::Human => v1::user::Type::Human,
        UserKind::ServiceAccount => v1::user::Type::ServiceAccount,
    };
    let state = match user.state() {
        UserState::Active => v1::user::State::Active,
        UserState::Blocked => v1::user::State::Blocked,
    };
    v1::User {
        id: user.id.to_string(),
        r#type: kind.into(),
        handle: user.details.handle.map(|handle| handle.to_string()),
        alias: user.details.alias,
        email: user.details.email.map(|email| email.to_string()),
        first_name: user.details.first_name,
        last_name: user.details.last_name,
        metadata: user.details.metadata,
        scopes: scopes(&user.details.scopes),
        state: state.into(),
        created_at: Some(time(user.created_at)),
        updated_at: Some(time(user.updated_at)),
        deleted_at: user.deleted_at.map(time),
        etag,
        environment: environment.into(),
    }
}

pub(super) fn user_kind_in(kind: v1::user::Type) -> Option<UserKind> {
    match kind {
        v1::user::Type::Unspecified => None,
        v1::user::Type::Human => Some(UserKind::Human),
        v1::user::Type::ServiceAccount => Some(UserKind::ServiceAccount),
    }
}

pub(super) fn user_state_in(state: v1::user::State) -> Option<UserState> {
    match state {
        v1::user::State::Unspecified => None,
        v1::user::State::Active => Some(UserState::Active),
        v1::user::State::Blocked => Some(UserState::Blocked),
    }
}

pub(super) fn project(project: Project) -> v1::Project {
    v1::Project {
        etag: project.etag(),
        id: project.id.to_string(),
        display_name: project.details.display_name,
        description: project.details.description,
        key_prefix: project.details.secret_prefix.to_string(),
        sign_up: match project.details.sign_up {
            SignUp::Closed => v1::project::SignUp::Closed,
            SignUp::Open => v1::project::SignUp::Open,
        }
        .into(),
        session_lifetime: prost_types::Duration::try_from(project.details.session_lifetime).ok(),
        user_scopes: scopes(&project.details.user_scopes),
        client_registration: match project.details.client_registration {
            ClientRegistration::Closed => v1::project::ClientRegistration::RegistrationClosed,
            ClientRegistration::Token => v1::project::ClientRegistration::RegistrationToken,
            ClientRegistration::Open => v1::project::ClientRegistration::RegistrationOpen,
        }
        .into(),
        client_id_metadata_documents: project.details.client_documents,
        registration_scopes: scopes(&project.details.registration_scopes),
        registration_resources: texts(&project.details.registration_resources),
        leak_policy: leak_policy(project.details.leak_policy).into(),
        default_rate_limits: limits::told_defaults(&project.details.default_rate_limits),
        created_at: Some(time(project.created_at)),
        updated_at: Some(time(project.updated_at)),
        deleted_at: project.deleted_at.map(time),
    }
}

pub(super) fn sign_up_in(setting: v1::project::SignUp) -> Option<SignUp> {
    match setting {
        v1::project::SignUp::Unspecified | v1::project::SignUp::Closed => Some(SignUp::Closed),
        v1::project::SignUp::Open => Some(SignUp::Open),
    }
}

pub(super) fn client_registration_in(setting: v1::project::ClientRegistration) -> Option<ClientRegistration> {
    use v1::project::ClientRegistration as Wire;
    match setting {
        Wire::Unspecified | Wire::RegistrationClosed => Some(ClientRegistration::Closed),
        Wire::RegistrationToken => Some(ClientRegistration::Token),
        Wire::RegistrationOpen => Some(ClientRegistration::Open),
    }
}

pub(super) fn leak_policy(policy: LeakPolicy) -> v1::project::LeakPolicy {
    match policy {
        LeakPolicy::Revoke => v1::project::LeakPolicy::Revoke,
        LeakPolicy::Suspend => v1::project::LeakPolicy::Suspend,
        LeakPolicy::Alert => v1::project::LeakPolicy::Alert,
    }
}

pub(super) fn leak_policy_in(policy: v1::project::LeakPolicy) -> Option<LeakPolicy> {
    use v1::project::LeakPolicy as Wire;
    match policy {
        Wire::Revoke => Some(LeakPolicy::Revoke),
        Wire::Unspecified | Wire::Suspend => Some(LeakPolicy::Suspend),
        Wire::Alert => Some(LeakPolicy::Alert),
    }
}

fn texts(items: &[impl ToString]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

pub(super) fn scope(registered: RegisteredScope) -> v1::Scope {
    v1::Scope {
        name: registered.scope.spelling().to_owned(),
        description: registered.description,
        built_in: registered.created_at.is_none(),
        created_at: registered.created_at.map(time),
    }
}

/// A single address is shown without its prefix length.
fn range(range: &ipnet::IpNet) -> String {
    if range.prefix_len() == range.max_prefix_len() { range.addr().to_string() } else { range.to_string() }
}

fn rotation(rotation: &Rotation) -> v1::key::Rotation {
    let mode = match rotation.mode {
        RotationMode::Immediate => v1::key::RotationMode::Immediate,
        RotationMode::FirstUse => v1::key::RotationMode::FirstUse,
    };
    v1::key::Rotation {
        mode: mode.into(),
        rotated_at: Some(time(rotation.rotated_at)),
        // A grace period is at most 30 days, so it fits.
        grace_period: WireDuration::try_from(rotation.grace).ok(),
        old_secret_expires_at: rotation.old_expires_at.map(time),
    }
}
