//! Programs that are not part of the build: public clients to call a server with.
//!
//! `tests/run` installs them and sets `GATEPOST_TEST_REQUIRED`; a program that is missing then fails its test. Under a
//! plain `cargo test` the test says on standard error what it left out, and passes.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// A program the suite calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tool {
    /// Protobuf's command line; `buf curl` is a client for gRPC and gRPC-Web.
    Buf,
    /// HTTP.
    Curl,
    /// gRPC by reflection.
    Grpcurl,
}

/// What a program answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether it exited with 0.
    pub(crate) success: bool,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

impl Tool {
    /// Runs the program to its end; `None`, after saying so, where it is missing.
    pub(crate) async fn run(self, arguments: &[&str]) -> Option<Answer> {
        let name = format!("{self:?}").to_lowercase();
        let Some(program) = find(&name) else {
            left_out(&format!("what needs the program `{name}`"));
            return None;
        };
        Some(run(Command::new(program).args(arguments), "").await)
    }
}

/// Runs a JavaScript module with the packages of `tests/clients` to its end; `None`, after saying so, where Node.js or
/// the packages are missing. `arguments` start at `process.argv[2]`.
pub(crate) async fn run_node(module: &str, arguments: &[&str]) -> Option<Answer> {
    run_node_with(module, arguments, &[]).await
}

/// The same with environment variables.
pub(crate) async fn run_node_with(module: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Option<Answer> {
    let Some((node, packages)) = node() else {
        left_out("what needs Node.js and the packages of tests/clients");
        return None;
    };
    // A module read from standard input finds its packages from the working directory.
    let mut command = Command::new(node);
    command.args(["--input-type=module", "-"]).args(arguments).current_dir(packages);
    command.envs(variables.iter().copied());
    Some(run(&mut command, module).await)
}

/// Runs a JavaScript module that `tests/clients/browser.mjs` stands before, with this and the browser as its one argument;
/// `None`, after saying so, where one of what it needs is missing.
pub(crate) async fn run_in_browser(module: &str, mut given: Value) -> Option<Answer> {
    given["chromium"] = browser()?.into();
    let module = [BROWSER, module].concat();
    run_node(&module, &[&given.to_string()]).await
}

/// Runs a Python module with the packages of `tests/clients` to its end, with this as its one argument, to which is added how
/// it has `tests/clients/visit.mjs` run (`browser`); `None`, after saying so, where one of what it needs is missing.
pub(crate) async fn run_python(module: &str, given: Value, visit: Value) -> Option<Answer> {
    let python = tools_dir().join("python/bin/python");
    let Some(given) = with_visits(given, visit).filter(|_| python.is_file()) else {
        left_out("what needs Python and the packages of tests/clients");
        return None;
    };
    // Whatever proxy this machine goes out by: all that is called is on it.
    let mut command = Command::new(python);
    Some(run(command.arg("-").arg(given.to_string()).env("NO_PROXY", "*"), module).await)
}

/// The same with the program made of the crate in `tests/clients/openidconnect`.
pub(crate) async fn run_openidconnect(given: Value, visit: Value) -> Option<Answer> {
    let program = tools_dir().join("bin/openidconnect-client");
    let Some(given) = with_visits(given, visit).filter(|_| program.is_file()) else {
        left_out("what needs the program of tests/clients/openidconnect");
        return None;
    };
    Some(run(Command::new(program).arg(given.to_string()), "").await)
}

/// What a program is given, and how it has somebody follow a link.
fn with_visits(mut given: Value, visit: Value) -> Option<Value> {
    let ((node, packages), browser) = (node()?, browser()?);
    let module = [BROWSER, VISIT].concat();
    given["browser"] = json!({"program": node, "directory": packages, "module": module, "arguments": visit});
    given["browser"]["arguments"]["chromium"] = browser.into();
    Some(given)
}

/// A file of one of the packages of `tests/clients`.
pub(crate) fn package_file(path: &str) -> PathBuf {
    tools_dir().join("npm/node_modules").join(path)
}

/// Node.js, and where the packages of `tests/clients` are.
fn node() -> Option<(PathBuf, PathBuf)> {
    let packages = tools_dir().join("npm");
    find("node").filter(|_| packages.join("node_modules").is_dir()).map(|node| (node, packages))
}

fn browser() -> Option<String> {
    let found = find("chromium").filter(|_| package_file("playwright-core").is_dir());
    if found.is_none() {
        left_out("what needs Chromium and playwright-core");
    }
    found.map(|program| program.display().to_string())
}

/// Runs a bash script to its end. Its `gatepost` is ours, and it finds what `tests/run` installs.
pub(crate) async fn run_script(script: &str, variables: &[(&str, &str)]) -> Answer {
    let ours = Path::new(env!("CARGO_BIN_EXE_gatepost")).parent().expect("a binary is in a directory").to_owned();
    let usual = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([ours, tools_dir().join("bin")].into_iter().chain(env::split_paths(&usual)));
    let mut command = Command::new("bash");
    command.args(["-c", script]).env("PATH", path.expect("directories without colons"));
    run(command.envs(variables.iter().copied()), "").await
}

/// Whether a program is there; says so where it is missing.
pub(crate) fn is_there(name: &str) -> bool {
    let there = find(name).is_some();
    if !there {
        left_out(&format!("what needs the program `{name}`"));
    }
    there
}

/// Says that something was not tested, or fails where everything must be.
pub(crate) fn left_out(what: &str) {
    assert!(env::var_os("GATEPOST_TEST_REQUIRED").is_none(), "{what}: missing, and GATEPOST_TEST_REQUIRED is set");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not `eprintln!`: the test harness would keep it to itself, as the test passes.
    let line = format!("\nLEFT OUT in {test}: {what}. `tests/run` installs it and tests everything.\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error is open");
}

/// Where a program is.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(tools_dir().join("bin"))
        .chain(env::split_paths(&path))
        .map(|dir| dir.join(name))
        .find(|p| p.is_file())
}

/// Where `tests/run` installs.
fn tools_dir() -> PathBuf {
    env::var_os("GATEPOST_TEST_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"), PathBuf::from)
}

async fn run(command: &mut Command, input: &str) -> Answer {
    let program = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let answer = timeout(PATIENCE, async {
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().expect("standard input is piped");
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        child.wait_with_output().await
    });
    let Output { status, stdout, stderr } = match answer.await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => panic!("{program}: {error}"),
        Err(_) => panic!("{program}: no end after {PATIENCE:?}"),
    };
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Answer { success: status.success(), stdout: text(stdout), stderr: text(stderr) }
}

/// The module that opens a browser.
const BROWSER: &str = include_str!("../../clients/browser.mjs");
/// Somebody who follows a link, signs in and decides.
pub(crate) const VISIT: &str = include_str!("../../clients/visit.mjs");

/// Programs answer in milliseconds, browsers in seconds; a machine under load may take a while to start them.
const PATIENCE: Duration = Duration::from_secs(240);
