//! The `gatepost` command as people and scripts run it: a process of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::leaks;
use super::server::TestServer;
use super::serving::Serving;

/// One run of the command, before it is run. It sees no variable of the suite's own environment.
#[derive(Clone, Debug)]
pub(crate) struct Gatepost {
    arguments: Vec<String>,
    variables: HashMap<String, String>,
    input: String,
    directory: Option<PathBuf>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Gatepost {
    /// `gatepost` with these words.
    pub(crate) fn new(line: &str) -> Self {
        let arguments = line.split_whitespace().map(str::to_owned).collect();
        Self { arguments, variables: HashMap::new(), input: String::new(), directory: None }
    }

    /// With one more word, which may hold spaces.
    pub(crate) fn and(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// With a variable.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With something to read.
    pub(crate) fn input(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    /// In this working directory.
    pub(crate) fn within(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Calls this server with this key.
    pub(crate) fn calls(self, server: &TestServer, key: &str) -> Self {
        self.variable("GATEPOST_URL", &format!("http://{}", server.address())).variable("GATEPOST_KEY", key)
    }

    /// Works on the data in this directory, in the database of this URL or in SQLite.
    pub(crate) fn on_data(self, directory: &Path, database: Option<&str>) -> Self {
        let run = self.variable("GATEPOST_DATA_DIR", directory.to_str().expect("a path in UTF-8"));
        match database {
            Some(url) => run.variable("DATABASE_URL", url),
            None => run,
        }
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> Run {
        let shown = format!("gatepost {}", self.arguments.join(" "));
        let ended = timeout(PATIENCE, async {
            let mut child = self.command().spawn().expect("the command can be started");
            let mut stdin = child.stdin.take().expect("standard input is piped");
            // A command that refuses its arguments does not read.
            let _ = stdin.write_all(self.input.as_bytes()).await;
            drop(stdin);
            child.wait_with_output().await.expect("the command ends")
        });
        let Output { status, stdout, stderr } = ended.await.unwrap_or_else(|_| panic!("{shown}: no end"));
        let text = |bytes| String::from_utf8(bytes).expect("the command writes UTF-8");
        let run = Run { code: status.code().expect("no signal ended it"), stdout: text(stdout), stderr: text(stderr) };
        assert_eq!(leaks::find_secret(run.stderr.as_bytes()), None, "{shown}: a secret on standard error");
        run
    }

    /// Runs it for so long, and kills it wherever it is.
    pub(crate) async fn killed_after(self, time: Duration) {
        let mut child = self.command().spawn().expect("the command can be started");
        tokio::time::sleep(time).await;
        child.kill().await.expect("it can be killed");
    }

    /// Starts it as a server, and waits until it serves.
    pub(crate) async fn serve(self) -> Serving {
        Serving::start(self.command()).await
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(&self.arguments).env_clear().envs(&self.variables).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

impl Run {
    /// What it printed, if it ended well.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout.trim_end().to_owned()
    }

    /// The JSON it printed, if it ended well.
    pub(crate) fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What it said on standard error, if it ended with this code.
    #[track_caller]
    pub(crate) fn fails_with(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        self.stderr
    }
}

/// Far longer than anything takes, so that a machine under load does not fail the suite.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
