//! The changes that a client watches, as messages.

use futures_util::{Stream, stream};
use tokio::time::timeout_at;
use tonic::Status;

use super::convert;
use super::request::{Around, Deadline};
use crate::domain::change::{Change, ChangeKind};
use crate::domain::error::Error;
use crate::domain::id::CredentialId;
use crate::domain::reason::Reason;
use crate::proto::v1;
use crate::proto::v1::watch_revocations_response::Kind;
use crate::service::revocations::{Event, Watch};

/// The events of a watch as messages, until the first error.
pub(super) fn events(
    watch: Watch,
    around: Around,
) -> impl Stream<Item = Result<v1::WatchRevocationsResponse, Status>> + Send {
    stream::unfold(Some((watch, around)), async |state| {
        let (mut watch, around) = state?;
        let next = async {
            match around.deadline {
                Some(Deadline(at)) => timeout_at(at, watch.next()).await.unwrap_or_else(|_| Err(too_late())),
                None => watch.next().await,
            }
        };
        match next.await {
            Ok(event) => Some((Ok(event_out(event)), Some((watch, around)))),
            Err(error) => Some((Err(around.status(&error)), None)),
        }
    })
}

fn too_late() -> Error {
    Error::new(Reason::DeadlineExceeded, "the client's time is over; go on from the last revision")
}

fn event_out(event: Event) -> v1::WatchRevocationsResponse {
    match event {
        Event::Heartbeat(revision) => v1::WatchRevocationsResponse {
            revision: revision.0,
            kind: Kind::Heartbeat.into(),
            ..v1::WatchRevocationsResponse::default()
        },
        Event::Changed(Change { revision, subject, kind, occurred_at, .. }) => v1::WatchRevocationsResponse {
            revision: revision.0,
            kind: kind_out(kind).into(),
            occurred_at: Some(convert::time(occurred_at)),
            ..subject_out(subject)
        },
    }
}

fn subject_out(subject: Option<CredentialId>) -> v1::WatchRevocationsResponse {
    let mut answer = v1::WatchRevocationsResponse::default();
    match subject {
        Some(CredentialId::Key(id)) => answer.key_id = Some(id.to_string()),
        Some(CredentialId::Session(id)) => answer.session_id = Some(id.to_string()),
        Some(CredentialId::User(id)) => answer.user_id = Some(id.to_string()),
        Some(CredentialId::Client(id)) => answer.client_id = Some(id.to_string()),
        Some(CredentialId::Grant(id)) => answer.grant_id = Some(id.to_string()),
        Some(CredentialId::Token(id)) => answer.token_id = Some(id.to_string()),
        Some(CredentialId::Issuer(id)) => answer.issuer_id = Some(id.to_string()),
        // Nothing that changes is theirs.
        Some(CredentialId::Reporter(_)) | None => {}
    }
    answer
}

fn kind_out(kind: ChangeKind) -> Kind {
    match kind {
        ChangeKind::Created => Kind::Created,
        ChangeKind::Updated => Kind::Updated,
        ChangeKind::Rotated => Kind::Rotated,
        ChangeKind::Suspended => Kind::Suspended,
        ChangeKind::Resumed => Kind::Resumed,
        ChangeKind::Revoked => Kind::Revoked,
        ChangeKind::ProjectDeleted => Kind::ProjectDeleted,
        // Watches pass over it.
        ChangeKind::ProjectUpdated => Kind::Heartbeat,
    }
}
