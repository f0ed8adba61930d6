//! `gatepost test-keys`: the reserved test keys and what each is answered.

use clap::Args;
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::output::print;
use crate::domain::test_keys::{TEST_KEYS, TestKey};

/// List the reserved keys that are always refused, for testing what you do about it.
///
/// Callers of the test environment get the named decision from Verify, and whoever calls with one is refused with it. They
/// open nothing, anywhere, and are no secrets.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct TestKeysArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl TestKeysArgs {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        if self.json {
            let keys: Vec<Value> = TEST_KEYS.iter().map(as_json).collect();
            print(&json!({ "data": keys }).to_string())?;
        } else {
            TEST_KEYS
                .iter()
                .try_for_each(|key| print(&format!("{:<18}  {}", key.reason.wording().name, key.secret)))?;
        }
        Ok(Exit::Done)
    }
}

fn as_json(key: &TestKey) -> Value {
    let wording = key.reason.wording();
    json!({"code": wording.name, "credential": key.secret, "keyId": key.id, "status": wording.http})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::readme;

    #[test]
    fn the_readme_lists_them() {
        let mut table = "| decision | HTTP | key |\n|---|---|---|\n".to_owned();
        for key in &TEST_KEYS {
            let wording = key.reason.wording();
            table += &format!("| `{}` | {} | `{}` |\n", wording.name, wording.http, key.secret);
        }
        readme::assert_section("test-keys", &table);
    }
}
