//! The command line as it is read.

use super::*;

fn read(line: &str) -> Result<Cli, clap::Error> {
    Cli::read(["gatepost"].into_iter().chain(line.split_whitespace()).map(OsString::from))
}

#[test]
fn the_definition_is_sound() {
    help::command().debug_assert();
}

#[test]
fn documented_lines_are_read() {
    for line in [
        "",
        "--listen 127.0.0.1:1 --data-dir x",
        "serve --listen 127.0.0.1:1 --behind-proxy --inline-streams=false",
        "admin-key new",
        "admin-key new --project shop --environment live --revoke-others --data-dir x -q",
        "projects show --database-url postgres://db/keys",
        "projects set --key-prefix bk --project default",
        "projects create shop --display-name Shop --key-prefix bk -q",
        "projects list --all --json",
        "projects show shop --url https://gatepost.example",
        "projects update shop --description x --etag 1",
        "projects delete shop other",
        "config --listen 127.0.0.1:1 --behind-proxy",
        "keys create --name shop --type rk --scope read:products,write:products --allowed-ip 10.0.0.0/8",
        "keys create --name shop --environment test --expires-at 2027-01-01T00:00:00Z --recoverable -q",
        "keys create --name shop --metadata team=shop --metadata a=b --idempotency-key once --json",
        "keys list --state active --type pk --limit 10 --page-token x",
        "keys --url https://gatepost.example list --all",
        "keys list --url https://gatepost.example --key-file - --ca-cert ca.pem --timeout 5s",
        "keys show key_1",
        "keys rotate key_1 --grace 7d --at-first-use",
        "keys suspend key_1 key_2",
        "keys resume key_1",
        "keys revoke key_1 key_2",
        "keys reveal key_1",
        "keys update key_1 --no-scopes --name x",
        "keys verify - --scope read:products --ip 192.0.2.1 --publishable-key pk_live_x --explain",
        "keys verify",
        "scopes list --json",
        "scopes create read:budgets --description x",
        "scopes update READ_BUDGETS --description x",
        "scopes delete read:budgets",
        "audit list --action key.* --actor command-line --target key_1 --all --json",
        "audit list --url http://127.0.0.1:1 --after 2027-01-01T00:00:00Z --before 2028-01-01T00:00:00Z --limit 5",
        "audit verify --data-dir x",
        "audit verify --database-url postgres://db/keys",
        "products list --inactive --tag new",
        "products search red shoe --limit 5",
        "products show prod_1",
        "products create --name shoe --price 19.90 --currency EUR --tag a,b",
        "products update prod_1 --active",
        "products delete prod_1",
        "users list --type service-account --state blocked --email ada@example.com --handle ada",
        "users set-password usr_1",
        "sessions list usr_1 --limit 5 --json",
        "sessions revoke usr_1 ses_1 ses_2 -q",
        "users search ada love --all",
        "users show usr_1",
        "users create --email ada@example.com --first-name Ada --last-name Lovelace --metadata a=b",
        "users create --type service-account --handle build-bot",
        "users update usr_1 --alias Ada --etag v1",
        "users block usr_1 usr_2",
        "users unblock usr_1",
        "users delete usr_1",
        "clients create --name shop --redirect-uri https://shop.example/cb --scope openid,read:users -q",
        "clients create --name app --type public --redirect-uri com.example.app:/cb --logo-uri https://a.example/l.png",
        "clients create --name job --grant-type client_credentials --resource urn:api --token-format opaque --json",
        "clients list --limit 5",
        "clients show cli_1",
        "clients update cli_1 --access-token-lifetime 5m --refresh-token-lifetime 90d --require-pkce true --etag v1",
        "clients delete cli_1 cli_2",
        "clients rotate-secret cli_1 --grace 7d",
        "grants list --user usr_1 --client cli_1 --limit 5 --json",
        "grants end grt_1 grt_2 -q",
        "whoami --json",
        "webhooks create https://hooks.example/a --event * --description shop --disabled -q",
        "webhooks list --limit 5 --json",
        "webhooks show wh_1",
        "webhooks get wh_1",
        "webhooks update wh_1 https://hooks.example/b --event webhook.test --enabled true --etag v1",
        "webhooks delete wh_1 wh_2",
        "webhooks rotate-secret wh_1 --grace 7d",
        "webhooks test",
        "webhooks test wh_1 --json",
        "webhooks deliveries wh_1 --state failed --all",
        "webhooks redeliver wh_1 msg_1 msg_2",
        "usage shop --by key,outcome --since 30d --interval day --json",
        "access-log --key-id shop --outcome IP_DENIED --address 10.0.0.0/8 --limit 5",
        "access-log --unknown --export",
        "keys narrow shop --since 90d --dry-run --etag v1",
        "keys create --name shop --limit per-minute=100/1m --limit daily=5000/1d,shared",
        "leaks list --credential-id key_1 --limit 5 --json",
        "leaks report - --source chat --found-at https://chat.example/1 -q",
        "alerts list --kind honey_key --credential-id key_1 --since 2027-01-31T12:00:00Z --limit 5",
        "alerts show alt_1 --json",
        "alerts rules -q",
        "alerts set many_refusals --threshold 50 --window 10m --cooldown 2h",
        "alerts set rate_jump --threshold 5 --min-calls 1000 --etag v1",
        "alerts set new_network --off",
        "alerts set new_network --on",
        "keys create --name canary --honey",
        "projects update shop --leak-policy revoke",
        "scan .",
        "scan --json --max-size 5 - src",
        "test-keys --json",
        "completions bash",
    ] {
        assert!(read(line).is_ok(), "{line}: {}", read(line).unwrap_err());
    }
}

#[test]
fn wrong_lines_end_with_2() {
    for line in [
        "frobnicate",
        "--listen 127.0.0.1:1 keys list",
        "serve --master-key x",
        "admin-key",
        "admin-key new --project Shop",
        "projects set",
        "projects set --key-prefix pk",
        "projects create",
        "projects show shop --project shop",
        "projects update",
        "projects delete",
        "keys",
        "keys create",
        "keys create --name x --expires-in 1d --expires-at 2027-01-01T00:00:00Z",
        "keys create --name x --type uk",
        "keys create --name x --key sk_live_x",
        "keys rotate key_1 --grace 31d",
        "audit",
        "audit list --after yesterday",
        "audit verify --json",
        "keys list --limit 0",
        "keys list --limit 1001",
        "keys list --all --limit 5",
        "keys list --json --quiet",
        "keys revoke",
        "products create --name x --price 1",
        "clients create",
        "clients create --name x --type native",
        "clients rotate-secret cli_1 --grace 31d",
        "clients update cli_1 --scope read:users --no-scopes",
        "webhooks create https://hooks.example/a",
        "webhooks deliveries wh_1 --state lost",
        "webhooks rotate-secret wh_1 --grace 31d",
        "webhooks redeliver wh_1",
        "leaks",
        "leaks report --credential sk_live_x",
        "alerts",
        "alerts set",
        "alerts set new_network --on --off",
        "projects update shop --leak-policy delete",
        "scan",
        "scan --max-size -1 .",
        "completions tcsh",
    ] {
        let error = read(line).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn the_help_shows_commands_examples_and_exit_codes() {
    let help = read("--help").unwrap_err();
    assert_eq!(help.exit_code(), 0);
    let help = help.to_string();
    for words in ["Client of a running server", "Exit codes:", "Examples:", "GATEPOST_KEY", "Issue and govern API keys"]
    {
        assert!(help.contains(words), "{words}\n{help}");
    }
    assert_eq!(read("--version").unwrap_err().to_string(), format!("gatepost {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn no_flag_takes_a_secret() {
    fn flags(command: &clap::Command) -> Vec<String> {
        let own = command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned));
        own.chain(command.get_subcommands().flat_map(flags)).collect()
    }
    let flags = flags(&help::command());
    for secret in ["key", "secret", "credential", "token", "password", "master-key"] {
        assert!(!flags.iter().any(|flag| flag == secret), "--{secret}");
    }
}
