//! The command line as a client of a running server.

use serde_json::Value;

use crate::support::command::Gatepost;
use crate::support::tools::run_script;
use crate::support::{TestServer, leaks};

/// A command of the live administrator.
fn admin(server: &TestServer, line: &str) -> Gatepost {
    Gatepost::new(line).calls(server, &server.live().secret)
}

/// Asks whether a credential is valid, in the words of an administrator.
fn verify(server: &TestServer, secret: &str, flags: &str) -> Gatepost {
    admin(server, &format!("keys verify - {flags}")).input(&format!("{secret}\n"))
}

#[tokio::test]
async fn a_key_goes_through_its_life() {
    let server = TestServer::start().await;
    admin(&server, "scopes create READ_BUDGETS --description budgets").run().await.ok();

    let create = "keys create --name shop --alias shop --scope read:budgets --metadata team=a --quiet";
    let secret = admin(&server, create).run().await.ok();
    leaks::remember(&secret);
    assert!(secret.starts_with("sk_live_") && !secret.contains(char::is_whitespace), "{secret}");

    verify(&server, &secret, "--scope READ_BUDGETS").run().await.ok();
    let refused = verify(&server, &secret, "--scope write:keys --json").run().await;
    assert_eq!(refused.code, 6, "{refused:?}");
    let decision: Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!((&decision["valid"], &decision["code"]), (&false.into(), &"INSUFFICIENT_SCOPE".into()));

    admin(&server, "keys suspend shop").run().await.ok();
    verify(&server, &secret, "").run().await.fails_with(6);
    admin(&server, "keys resume shop").run().await.ok();

    let rotated = admin(&server, "keys rotate shop --grace 1d --json").run().await.json();
    let new = rotated["secret"].as_str().unwrap();
    leaks::remember(new);
    assert_eq!(rotated["key"]["rotation"]["gracePeriod"], "86400s");
    for works in [secret.as_str(), new] {
        verify(&server, works, "").run().await.ok();
    }

    let shown = admin(&server, "keys show shop --json").run().await.json();
    assert_eq!((&shown["state"], &shown["scopes"][0]), (&"ACTIVE".into(), &"READ_BUDGETS".into()));
    assert_eq!(shown["metadata"]["team"], "a");
    let id = shown["id"].as_str().unwrap();
    assert_eq!(admin(&server, "keys revoke shop --quiet").run().await.ok(), id);
    for ended in [secret.as_str(), new] {
        let explained = verify(&server, ended, "--explain").run().await;
        assert_eq!(explained.code, 6);
        assert!(explained.stdout.contains("REVOKED") && explained.stdout.contains("FAILED"), "{explained:?}");
    }
    // The alias is free again, so it names nothing now.
    admin(&server, "keys show shop").run().await.fails_with(4);
    assert_eq!(admin(&server, &format!("keys show {id} --json")).run().await.json()["state"], "REVOKED");
}

#[tokio::test]
async fn an_update_changes_what_it_names() {
    let server = TestServer::start().await;
    let create = "keys create --name a --description b --owner c --scope read:keys,read:products --recoverable --json";
    let made = admin(&server, create).run().await.json();
    let (id, secret) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    leaks::remember(secret);
    assert_eq!(admin(&server, &format!("keys reveal {id} -q")).run().await.ok(), secret);

    let end = server.later(std::time::Duration::from_secs(3600));
    let update = format!("keys update {id} --name z --no-owner --scope read:keys --expires-at {end} --etag v1 --json");
    let updated = admin(&server, &update).run().await.json();
    assert_eq!((&updated["name"], &updated["description"]), (&"z".into(), &"b".into()));
    assert_eq!((&updated["scopes"], updated.get("owner")), (&serde_json::json!(["read:keys"]), None));
    assert_eq!(updated["expiresAt"], *end);

    let stale = admin(&server, &format!("keys update {id} --name y --etag v1")).run().await.fails_with(1);
    assert!(stale.contains("repeat the change"), "{stale}");
    let forever = admin(&server, &format!("keys update {id} --no-expiry --json")).run().await.json();
    assert_eq!(forever.get("expiresAt"), None);
    let nothing = admin(&server, &format!("keys update {id}")).run().await.fails_with(2);
    assert!(nothing.contains("nothing to change"), "{nothing}");
}

#[tokio::test]
async fn repeating_a_creation_is_safe() {
    let server = TestServer::start().await;
    let create = "keys create --name once --scope read:keys --idempotency-key once -q";
    let first = admin(&server, create).run().await.ok();
    leaks::remember(&first);
    assert_eq!(admin(&server, create).run().await.ok(), first);
    admin(&server, &create.replace("read:keys", "write:keys")).run().await.fails_with(1);
}

#[tokio::test]
async fn lists_are_whole_or_paged() {
    let server = TestServer::start().await;
    for name in ["one", "two", "three"] {
        admin(&server, &format!("products create --name {name} --tag list")).run().await.ok();
    }
    let page = admin(&server, "products list --tag list --limit 2 --json").run().await.json();
    assert_eq!(page["data"].as_array().unwrap().len(), 2);
    let rest = format!("products list --tag list --page-token {} --json", page["nextPageToken"].as_str().unwrap());
    let rest = admin(&server, &rest).run().await.json();
    assert_eq!((&rest["data"][0]["name"], rest.get("nextPageToken")), (&"one".into(), None));
    assert_eq!(admin(&server, "products list --tag list --all -q").run().await.ok().lines().count(), 3);

    let table = admin(&server, "products list --tag list --limit 1").run().await;
    assert!(table.stdout.starts_with("ID ") && table.stdout.contains("three"), "{table:?}");
    assert!(table.stderr.contains("There is more: --page-token "), "{table:?}");
    assert!(!table.stdout.contains('\x1b'), "a pipe gets no colours: {table:?}");
    assert_eq!(admin(&server, "keys list --state revoked").run().await.ok(), "(none)");
}

#[tokio::test]
async fn products_and_scopes_are_kept() {
    let server = TestServer::start().await;
    let create = admin(&server, "products create --price 19.90 --currency EUR --tag red,new --json --name");
    let made = create.and("Red shoe").run().await.json();
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["name"], &made["price"], &made["active"]), (&"Red shoe".into(), &"19.90".into(), &true.into()));
    assert_eq!(admin(&server, "products search red sho -q").run().await.ok(), id);
    let updated = admin(&server, &format!("products update {id} --no-price --inactive --json")).run().await.json();
    assert_eq!((updated.get("price"), &updated["active"]), (None, &false.into()));
    assert_eq!(admin(&server, "products list --inactive -q").run().await.ok(), id);
    admin(&server, &format!("products delete {id}")).run().await.ok();
    admin(&server, &format!("products show {id}")).run().await.fails_with(4);

    admin(&server, "scopes create read:budgets --description x").run().await.ok();
    let updated = admin(&server, "scopes update READ_BUDGETS --description y --json").run().await.json();
    assert_eq!((&updated["name"], &updated["description"]), (&"read:budgets".into(), &"y".into()));
    let listed = admin(&server, "scopes list --all -q").run().await.ok();
    assert!(
        listed.lines().any(|line| line == "read:budgets") && listed.lines().any(|line| line == "admin"),
        "{listed}"
    );
    admin(&server, "scopes delete read:budgets").run().await.ok();
    admin(&server, "scopes delete read:budgets").run().await.fails_with(4);
}

#[tokio::test]
async fn clients_are_registered_and_their_secrets_renewed() {
    let server = TestServer::start().await;
    let create = "clients create --name shop --redirect-uri https://shop.example/cb --scope openid,read:users \
        --grant-type authorization_code,refresh_token --access-token-lifetime 5m --require-pkce false --json";
    let made = admin(&server, create).run().await.json();
    let secret = made["secret"].as_str().unwrap();
    leaks::remember(secret);
    let (client, id) = (&made["client"], made["client"]["id"].as_str().unwrap());
    assert_eq!((&client["accessTokenLifetime"], &client["requirePkce"]), (&"300s".into(), &false.into()));
    assert_eq!((&client["scopes"][1], &client["grantTypes"][1]), (&"read:users".into(), &"refresh_token".into()));

    let app = "clients create --type public --name app --redirect-uri com.example.app:/cb --grant-type device_code -q";
    let app = admin(&server, app).run().await.ok();
    assert!(app.starts_with("cli_"), "what has no secret is told by its id: {app}");
    let listed = admin(&server, "clients list --all -q").run().await.ok();
    assert!(listed.lines().count() == 2 && listed.contains(&app) && listed.contains(id), "{listed}");
    let table = admin(&server, "clients list").run().await.ok();
    assert!(table.contains("device_code") && table.contains("confidential"), "{table}");

    let update = format!("clients update {id} --name Shop --no-scopes --dpop true --redirect-uri https://b.example/cb");
    let shown = admin(&server, &update).run().await.ok();
    assert!(shown.contains("https://b.example/cb") && !shown.contains("https://shop.example/cb"), "{shown}");
    admin(&server, &format!("clients update {id}")).run().await.fails_with(2);
    admin(&server, &format!("clients update {id} --name x --etag v1")).run().await.fails_with(1);

    let new = admin(&server, &format!("clients rotate-secret {id} --grace 1d -q")).run().await.ok();
    leaks::remember(&new);
    assert!(new.starts_with("cs_live_") && new != secret, "{new}");
    let shown = admin(&server, &format!("clients show {id}")).run().await.ok();
    assert_eq!(shown.matches("known secret:").count(), 2, "{shown}");
    assert!(shown.contains(" until ") && !shown.contains(&new), "{shown}");
    admin(&server, &format!("clients delete {app} {id}")).run().await.ok();
    admin(&server, &format!("clients show {id}")).run().await.fails_with(4);
}

#[tokio::test]
async fn users_and_their_keys_are_kept() {
    let server = TestServer::start().await;
    let create = "users create --email Ada@example.com --first-name Ada --handle ada --metadata a=b --json --last-name";
    let made = admin(&server, create).and("King Noel").run().await.json();
    let id = made["id"].as_str().unwrap();
    let told = [&made["type"], &made["state"], &made["email"], &made["lastName"]];
    assert_eq!(told, ["HUMAN", "ACTIVE", "Ada@example.com", "King Noel"]);
    let account = admin(&server, "users create --type service-account --handle build-bot -q").run().await.ok();
    assert_eq!(admin(&server, "users list --all -q").run().await.ok(), format!("{account}\n{id}"));
    assert_eq!(admin(&server, "users list --type service-account -q").run().await.ok(), account);
    assert_eq!(admin(&server, "users list --email ADA@EXAMPLE.COM -q").run().await.ok(), id);
    assert_eq!(admin(&server, "users search noel ad -q").run().await.ok(), id);
    let update =
        admin(&server, &format!("users update {id} --first-name Augusta --no-metadata --json --handle")).and("");
    let updated = update.run().await.json();
    assert_eq!((&updated["firstName"], updated.get("handle")), (&"Augusta".into(), None));
    assert_eq!(updated["metadata"], serde_json::json!({}));

    let key = admin(&server, &format!("keys create --name bot --user {account} -q")).run().await.ok();
    crate::support::Actor::made(&key, "");
    let whoami = || Gatepost::new("whoami --json").calls(&server, &key).run();
    assert_eq!(whoami().await.json()["userId"], account);
    assert_eq!(admin(&server, &format!("keys list --user {account} -q")).run().await.ok().lines().count(), 1);
    admin(&server, &format!("users block {account} {id}")).run().await.ok();
    let refused = whoami().await.fails_with(3);
    assert!(refused.contains("SUSPENDED") || refused.contains("suspended"), "{refused}");
    assert_eq!(admin(&server, "users list --state blocked -q").run().await.ok().lines().count(), 2);
    admin(&server, &format!("users unblock {account}")).run().await.ok();
    whoami().await.ok();
    let table = admin(&server, "users list").run().await.ok();
    assert!(
        table.contains("service-account") && table.contains("BLOCKED") && table.contains("Augusta King"),
        "{table}"
    );
    admin(&server, &format!("users delete {account} {id}")).run().await.ok();
    whoami().await.fails_with(3);
    admin(&server, &format!("users show {id}")).run().await.fails_with(4);
    admin(&server, &format!("users update {id}")).run().await.fails_with(2);
}

#[tokio::test]
async fn scripts_can_tell_failures_apart() {
    let server = TestServer::start().await;
    let stranger = crate::support::Actor::stranger("sk", gatepost::domain::environment::Environment::Live);
    let refused = Gatepost::new("whoami").calls(&server, &stranger.secret).run().await.fails_with(3);
    assert!(refused.contains("admin-key new") && refused.contains("request: req_"), "{refused}");

    let weak = server.key(&["read:keys"]).await;
    let scopeless = Gatepost::new("products list --json").calls(&server, &weak.secret).run().await.fails_with(3);
    let scopeless: Value = serde_json::from_str(&scopeless).unwrap();
    assert_eq!((&scopeless["error"], &scopeless["exitCode"]), (&"INSUFFICIENT_SCOPE".into(), &3.into()));

    let missing = admin(&server, "keys show key_00000000000000000000000000000000 --json").run().await.fails_with(4);
    let missing: Value = serde_json::from_str(&missing).unwrap();
    assert_eq!((&missing["error"], &missing["exitCode"]), (&"RESOURCE_NOT_FOUND".into(), &4.into()));

    let wrong = admin(&server, "keys create --scope Read --json --name x").run().await.fails_with(1);
    let wrong: Value = serde_json::from_str(&wrong).unwrap();
    assert_eq!(wrong["violations"][0]["field"], "scopes[0]", "{wrong}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lost = Gatepost::new("whoami").variable("GATEPOST_KEY", "sk_live_x").and(&format!("--url=http://{free}"));
    let lost = lost.run().await.fails_with(5);
    assert!(lost.contains("is `gatepost serve` running at"), "{lost}");

    let keyless = Gatepost::new("whoami").run().await.fails_with(2);
    assert!(keyless.contains("set GATEPOST_KEY"), "{keyless}");
    let clear = admin(&server, "whoami --url http://gatepost.example").run().await.fails_with(2);
    assert!(clear.contains("in the clear"), "{clear}");
    Gatepost::new("frobnicate").run().await.fails_with(2);
}

#[tokio::test]
async fn something_else_than_gatepost_counts_as_not_reached() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // It takes connections and says nothing.
    let mute = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            kept.push(connection);
        }
    });
    let silent = Gatepost::new("whoami --timeout 1s --url").and(&url).variable("GATEPOST_KEY", "sk_live_x");
    let silent = silent.run().await.fails_with(5);
    assert!(silent.contains("did not answer in time"), "{silent}");
    mute.abort();
}

#[tokio::test]
async fn a_credential_is_taken_from_input_or_environment_only() {
    let server = TestServer::start().await;
    let key = server.key(&[]).await;
    let verify = || admin(&server, "keys verify");
    verify().variable("GATEPOST_CREDENTIAL", &key.secret).run().await.ok();
    verify().input(&key.secret).run().await.ok();
    let seen = verify().and(&key.secret).run().await.fails_with(2);
    assert!(seen.contains("pipe it in"), "{seen}");
    verify().run().await.fails_with(2);

    // The key to call with can come from a file, or from input where that is free.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}\n", server.live().secret)).unwrap();
    let whoami =
        Gatepost::new("whoami -q --key-file").variable("GATEPOST_URL", &format!("http://{}", server.address()));
    assert_eq!(whoami.clone().and(file.path().to_str().unwrap()).run().await.ok(), server.live().id);
    assert_eq!(whoami.and("-").input(&server.live().secret).run().await.ok(), server.live().id);
    admin(&server, "keys verify - --key-file -").run().await.fails_with(2);
}

#[tokio::test]
async fn a_server_with_tls_is_trusted_by_its_certificate() {
    let server = TestServer::builder().tls().start().await;
    let whoami = || {
        let url = format!("https://localhost:{}", server.address().port());
        Gatepost::new("whoami -q --url").and(&url).variable("GATEPOST_KEY", &server.live().secret)
    };
    let certificate = server.directory().join("cert.pem");
    let trusted = whoami().and("--ca-cert").and(certificate.to_str().unwrap()).run().await.ok();
    assert_eq!(trusted, server.live().id);
    let untrusted = whoami().run().await.fails_with(5);
    assert!(untrusted.contains("--ca-cert"), "{untrusted}");
}

#[tokio::test]
async fn a_name_cannot_move_the_cursor() {
    let server = TestServer::start().await;
    admin(&server, "products create --name").and("a\u{202e}b").run().await.ok();
    let listed = admin(&server, "products list").run().await.ok();
    assert!(!listed.contains('\u{202e}') && listed.contains("a\u{fffd}b"), "{listed}");
}

#[tokio::test]
async fn an_issuer_goes_through_its_life() {
    let server = TestServer::start().await;
    let create =
        "issuers create https://id.example --audience shop --audience app --display-name ID --leeway 10s --json";
    let made = admin(&server, create).run().await.json();
    assert_eq!((&made["issuer"], &made["leeway"]), (&"https://id.example".into(), &"10s".into()));
    assert_eq!((&made["audiences"], made.get("jwksUri")), (&serde_json::json!(["app", "shop"]), None));
    let id = made["id"].as_str().unwrap();
    admin(&server, create).run().await.fails_with(1);

    let keys = tempfile::NamedTempFile::new().unwrap();
    let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    std::fs::write(keys.path(), set).unwrap();
    let update = format!("issuers update {id} --jwks {} --algorithm EdDSA --json", keys.path().display());
    let updated = admin(&server, &update).run().await.json();
    assert_eq!((&updated["jwks"], &updated["algorithms"]), (&set.into(), &serde_json::json!(["EdDSA"])));
    let updated = admin(&server, &format!("issuers update {id} --discover --json")).run().await.json();
    assert_eq!(updated.get("jwks"), None);
    admin(&server, &format!("issuers update {id} --jwks /nowhere/at/all")).run().await.fails_with(2);
    admin(&server, &format!("issuers update {id}")).run().await.fails_with(2);
    let shown = admin(&server, &format!("issuers show {id}")).run().await.ok();
    assert!(shown.contains("https://id.example") && shown.contains("where its own description says"), "{shown}");
    assert_eq!(admin(&server, "issuers list --quiet").run().await.ok(), id);
    assert_eq!(admin(&server, &format!("issuers delete {id} --quiet")).run().await.ok(), id);
    admin(&server, &format!("issuers show {id}")).run().await.fails_with(4);
}

#[tokio::test]
async fn shells_get_completions() {
    for (shell, word) in
        [("bash", "complete"), ("zsh", "#compdef"), ("fish", "complete -c"), ("powershell", "Register")]
    {
        let script = Gatepost::new("completions").and(shell).run().await.ok();
        assert!(script.contains(word) && script.contains("gatepost"), "{shell}");
    }
}

#[tokio::test]
async fn the_help_names_every_command_and_each_explains_itself() {
    let help = Gatepost::new("--help").run().await.ok();
    let commands = [
        "serve",
        "config",
        "admin-key",
        "master-key",
        "signing-key",
        "projects",
        "keys",
        "scopes",
        "products",
        "audit",
        "whoami",
        "completions",
    ];
    for command in commands {
        let named = help.lines().any(|line| line.trim_start().split(' ').next() == Some(command));
        assert!(named, "{command} is missing in {help}");
        let more = Gatepost::new(command).and("--help").run().await.ok();
        assert!(more.contains(&format!("Usage: gatepost {command}")), "{more}");
    }
    for words in ["Exit codes:", "Examples:", "GATEPOST_URL", "GATEPOST_KEY"] {
        assert!(help.contains(words), "{words} is missing in {help}");
    }
    let keys = Gatepost::new("keys --help").run().await.ok();
    for command in ["create", "list", "show", "rotate", "suspend", "resume", "revoke", "reveal", "update", "verify"] {
        assert!(keys.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{command}: {keys}");
    }
}

#[tokio::test]
async fn a_script_makes_and_checks_a_key_as_the_help_shows() {
    let server = TestServer::start().await;
    let script = r#"
        set -e
        gatepost scopes create read:budgets --description 'See budgets' >/dev/null
        KEY=$(gatepost keys create --name shop --scope read:budgets --quiet)
        echo "$KEY" | gatepost keys verify - --scope read:budgets --quiet
        echo "$KEY" | gatepost keys verify - --scope write:keys --quiet || echo "ended with $?"
        gatepost keys list --json
    "#;
    let output = shell(&server, script).await;
    let mut lines = output.lines();
    let decisions: Vec<_> = lines.by_ref().take(3).collect();
    assert_eq!(decisions, ["VALID", "INSUFFICIENT_SCOPE", "ended with 6"], "{output}");
    let listed: Value = serde_json::from_str(&lines.collect::<String>()).expect("the rest is one JSON document");
    let listed = listed["data"].as_array().expect("a list");
    assert!(listed.iter().any(|key| key["name"] == "shop"), "{listed:?}");
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let server = TestServer::start().await;
    let script = "set -o pipefail; gatepost scopes list --all --json | head -c 1; echo \" $?\"";
    assert_eq!(shell(&server, script).await, "{ 0\n");
}

#[tokio::test]
async fn bash_takes_the_completions() {
    let server = TestServer::start().await;
    let script = r#"
        source <(gatepost completions bash)
        complete -p gatepost >/dev/null
        COMP_WORDS=(gatepost keys re) COMP_CWORD=2
        _gatepost gatepost re keys
        echo "${COMPREPLY[@]}"
    "#;
    let offered = shell(&server, script).await;
    let mut offered: Vec<_> = offered.split_whitespace().collect();
    offered.sort_unstable();
    assert_eq!(offered, ["resume", "reveal", "revoke"]);
}

/// What a bash script prints that calls this server with the live administrator's key.
async fn shell(server: &TestServer, script: &str) -> String {
    let (url, key) = (format!("http://{}", server.address()), server.live().secret);
    let answer = run_script(script, &[("GATEPOST_URL", &url), ("GATEPOST_KEY", &key)]).await;
    assert!(answer.success && answer.stderr.is_empty(), "{answer:?}");
    answer.stdout
}

#[tokio::test]
async fn a_password_is_set_and_sessions_are_ended() {
    let server = TestServer::start().await;
    let user = admin(&server, "users create --handle ada -q").run().await.ok();
    let set = format!("users set-password {user} -q");
    let refused = admin(&server, &set).input("-snark-\n").run().await.fails_with(1);
    assert!(refused.contains("8 to 256"), "{refused}");
    assert_eq!(admin(&server, &set).input(&format!("{}\n", leaks::PASSWORD)).run().await.ok(), user);
    let one = server.sign_in(&server.live(), "ada").await;
    // Lists are newest first, and what is of one instant is in no order.
    server.advance(std::time::Duration::from_secs(1));
    let other = server.sign_in(&server.live(), "ada").await;
    let listed = admin(&server, &format!("sessions list {user} --json")).run().await.json();
    assert_eq!(
        (&listed["data"][0]["id"], &listed["data"][1]["id"]),
        (&other.id.clone().into(), &one.id.clone().into())
    );
    assert_eq!(admin(&server, &format!("sessions revoke {user} {} -q", one.id)).run().await.ok(), one.id);
    assert_eq!(server.get("/v1/auth/whoami", &one).await.status, 401);
    let shown = admin(&server, &format!("sessions list {user}")).run().await.ok();
    assert!(shown.contains(&other.id) && !shown.contains(&one.id) && shown.contains("127.0.0.1"), "{shown}");
    let mine = Gatepost::new("whoami --json").calls(&server, &other.secret).run().await.json();
    assert_eq!(mine["sessionId"], other.id);
}
