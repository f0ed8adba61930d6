//! Reading the audit log.

use std::sync::Arc;

use super::Context;
use crate::auth::caller::Caller;
use crate::domain::audit::AuditEntry;
use crate::domain::error::Result;
use crate::domain::page::{Page, PageRequest};
use crate::store::AuditFilter;

/// The audit part of the Keys service.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Context>);

impl Audit {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Lists what happened in the caller's environment and to the project as a whole, newest first.
    pub async fn list(&self, caller: &Caller, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditEntry>> {
        Ok(self.0.store.list_audit_events(caller.project(), caller.environment(), filter, page).await?)
    }
}
