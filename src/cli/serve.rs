//! `gatepost serve`: the server.

use std::time::Duration;

use tokio::runtime::Builder;

use super::exit::{Exit, Failure};
use crate::config::{Config, Flags};
use crate::server::{self, StartError};
use crate::store::OpenError;
use crate::telemetry::{Telemetry, TelemetryError};

/// Serves until the process is told to stop.
pub(super) fn run(flags: &Flags) -> Result<Exit, Failure> {
    let config = Config::load(flags, &|name| std::env::var_os(name))?.config;
    let runtime = Builder::new_multi_thread().worker_threads(config.worker_threads).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start threads: {error}")))?;
    let served = runtime.block_on(async {
        let telemetry = Telemetry::start(&config)?;
        let served = server::run(&config, &telemetry).await;
        telemetry.shut_down().await;
        Ok(served?)
    });
    runtime.shutdown_timeout(GRACE);
    served.map(|()| Exit::Done)
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let exit = match &error {
            StartError::MasterKey(_)
            | StartError::OtherMasterKey(_)
            | StartError::LostMasterKey
            | StartError::Tls(_)
            | StartError::Open { cause: OpenError::BadUrl(_), .. } => Exit::Usage,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<TelemetryError> for Failure {
    fn from(error: TelemetryError) -> Self {
        Self::new(Exit::Usage, error.to_string())
    }
}

/// How long blocking work may go on after the server has drained.
const GRACE: Duration = Duration::from_secs(1);
