//! `gatepost config`: what `gatepost serve` would run with.

use std::collections::BTreeMap;

use clap::Args;

use super::exit::{Exit, Failure};
use super::output::print;
use crate::config::{Config, Flags, effective_table};

/// Print the settings that `gatepost serve` would run with here, and who said so. Secrets are hidden.
#[derive(Args, Clone, Debug)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    flags: Flags,
    /// Print JSON.
    #[arg(long, help_heading = "Output")]
    json: bool,
}

impl ConfigArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let loaded = Config::load(&self.flags, &|name| std::env::var_os(name)).map_err(Failure::from)?;
        if self.json {
            let settings: BTreeMap<&str, serde_json::Value> = loaded
                .effective
                .iter()
                .map(|e| (e.setting.key, serde_json::json!({"value": e.value, "source": e.source.describe(e.setting)})))
                .collect();
            let text = serde_json::to_string_pretty(&settings);
            print(&text.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?)?;
        } else {
            print(effective_table(&loaded.effective).trim_end())?;
        }
        Ok(Exit::Done)
    }
}
