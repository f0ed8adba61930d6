//! `gatepost scan`: what it finds in files, and what it tells of it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::environment::Environment;
use gatepost::domain::secret::{PlainSecret, SecretPrefix};
use serde_json::{Value, json};

use crate::support::command::{Gatepost, Run};
use crate::support::leaks;

/// A secret that nobody issued: its form and its checksum are all that counts.
fn secret(prefix: &'static str, environment: Environment) -> String {
    PlainSecret::generate(&SecretPrefix::fixed(prefix), environment, &SystemEntropy).expose().to_owned()
}

fn hint(secret: &str) -> String {
    format!("{}...{}", &secret[..secret.len() - 45], &secret[secret.len() - 4..])
}

/// Scans, and sees that nothing that was printed is a secret.
async fn scan(directory: &Path, words: &str) -> Run {
    let run = Gatepost::new(&format!("scan {words}")).within(directory).run().await;
    assert_eq!(leaks::find_secret(run.stdout.as_bytes()), None, "{run:?}");
    run
}

#[tokio::test]
async fn every_kind_is_found_where_it_is_and_never_printed() {
    let directory = tempfile::tempdir().unwrap();
    let kinds = [
        ("sk", "secret key", "secret_key"),
        ("bk", "secret key", "secret_key"),
        ("abcdefghijk9", "secret key", "secret_key"),
        ("rk", "restricted key", "restricted_key"),
        ("pk", "publishable key", "publishable_key"),
        ("uk", "user key", "user_key"),
        ("cs", "client secret", "client_secret"),
        ("at", "access token", "access_token"),
        ("rt", "refresh token", "refresh_token"),
        ("ac", "authorization code", "authorization_code"),
        ("dc", "device code", "device_code"),
        ("rat", "registration token", "registration_token"),
    ];
    for environment in [Environment::Live, Environment::Test] {
        for (prefix, noun, word) in kinds {
            let secret = secret(prefix, environment);
            fs::write(directory.path().join("found"), format!("# made today\n\tkey: '{secret}',\n")).unwrap();
            let people = scan(directory.path(), "found").await;
            assert_eq!(people.code, 1, "{people:?}");
            assert_eq!(people.stdout, format!("found:2:8: {noun} ({environment}) {}\n", hint(&secret)));
            let script = scan(directory.path(), "--json found").await;
            let line: Value = serde_json::from_str(&script.stdout).unwrap();
            let wanted = json!({
                "path": "found", "line": 2, "column": 8, "type": word, "environment": environment.as_str(),
                "hint": hint(&secret),
            });
            assert_eq!((script.code, line), (1, wanted));
        }
    }
}

#[tokio::test]
async fn directories_are_searched_with_all_that_is_in_them_but_objects_of_git() {
    let directory = tempfile::tempdir().unwrap();
    let key = secret("sk", Environment::Live);
    let wide: Vec<u8> = key.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let binary = [&[0, 159, 146, 150][..], key.as_bytes(), &[0; 9]].concat();
    let files: [(&str, &[u8]); 7] = [
        (".env", key.as_bytes()),
        (".git/config", key.as_bytes()),
        (".git/objects/ab/cd", key.as_bytes()),
        ("a/.gitignore", b"*\n"),
        ("a/b/notes.md", key.as_bytes()),
        ("a/b/program", &binary),
        ("c/exported.csv", &wide),
    ];
    for (name, bytes) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    // A link in there leads to what is found anyway, or out of what was asked about.
    std::os::unix::fs::symlink(".env", directory.path().join("link")).unwrap();
    let run = scan(directory.path(), ".").await;
    let found: Vec<&str> = run.stdout.lines().map(|line| line.split(": ").next().unwrap()).collect();
    let wanted = ["./.env:1:1", "./.git/config:1:1", "./a/b/notes.md:1:1", "./a/b/program:1:5", "./c/exported.csv:1:1"];
    assert_eq!((run.code, found), (1, wanted.to_vec()));
    assert_eq!(run.stderr, "5 found in 6 files; 0 over 1024 MiB passed over, 0 could not be read\n");
    // What is named itself is read, through a link too.
    assert!(scan(directory.path(), "link a").await.stdout.starts_with("link:1:1: "));
}

#[tokio::test]
async fn the_exit_code_says_what_came_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let key = secret("sk", Environment::Live);
    let last = if key.ends_with('a') { 'b' } else { 'a' };
    fs::write(directory.path().join("clean"), format!("{}{last} and sk_live_...\n", &key[..key.len() - 1])).unwrap();
    fs::write(directory.path().join("dirty"), format!("{key} {}", secret("rt", Environment::Test))).unwrap();
    for (words, code, lines) in [
        ("clean", 0, 0),
        ("dirty", 1, 2),
        ("clean dirty", 1, 2),
        ("absent", 2, 0),
        ("absent dirty", 2, 2),
        ("dirty dirty", 1, 4),
        ("--max-size 0 dirty", 0, 0),
        ("", 2, 0),
    ] {
        let run = scan(directory.path(), words).await;
        assert_eq!((run.code, run.stdout.lines().count()), (code, lines), "{words}: {run:?}");
    }
    let absent = scan(directory.path(), "--json absent").await;
    let told: Value = serde_json::from_str(absent.stderr.lines().next().unwrap()).unwrap();
    assert_eq!((&told["path"], told["error"].is_string()), (&json!("absent"), true));
    let large = scan(directory.path(), "--max-size 0 --json dirty").await;
    let told: Value = serde_json::from_str(&large.stderr).unwrap();
    assert_eq!(told, json!({"read": 0, "found": 0, "skipped": 1, "failed": 0}));
}

#[tokio::test]
async fn standard_input_is_read() {
    let key = secret("rk", Environment::Test);
    let run = Gatepost::new("scan -").input(&format!("first\n{key}\n")).run().await;
    assert_eq!((run.code, run.stdout), (1, format!("-:2:1: restricted key (test) {}\n", hint(&key))));
    assert_eq!(Gatepost::new("scan -").run().await.code, 0);
}

/// A stream of any length is searched in the memory of a short one. It is stopped while the memory is read.
#[test]
fn a_long_stream_takes_no_more_memory_than_a_short_one() {
    let key = secret("sk", Environment::Live);
    let mut child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["scan", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let line = [b"_live_ nothing to see here, and no end of it ".repeat(21), b"\n".to_vec()].concat();
    let piece = line.repeat(1024);
    let peak = || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    for _ in 0..4 {
        input.write_all(&piece).unwrap();
    }
    let before = peak();
    for _ in 0..60 {
        input.write_all(&piece).unwrap();
    }
    let after = peak();
    input.write_all(format!("  {key}").as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let wanted = format!("-:{}:3: secret key (live) {}\n", 64 * 1024 + 1, hint(&key));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted);
    // In KiB. The stream has 60 MiB more.
    assert!(after < before + 8 * 1024, "{before} KiB, then {after} KiB");
}
