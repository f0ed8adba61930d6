//! `gatepost webhooks`: who is told of what happens.

mod deliveries;
mod view;

use std::time::Duration;

use clap::{Args, Subcommand};
use prost_types::FieldMask;

use super::arguments::{PageArgs, grace};
use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{Output, OutputArgs};
use crate::proto::v1;

/// Have addresses told of what happens, by signed webhooks.
#[derive(Args, Clone, Debug)]
pub(super) struct WebhooksArgs {
    #[command(subcommand)]
    command: WebhooksCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum WebhooksCommand {
    /// Add a webhook and print its secret, which is shown only here.
    Create(CreateArgs),
    /// List webhooks, oldest first.
    List(PageArgs),
    /// Show one webhook, without its secret.
    #[command(visible_alias = "get")]
    Show(OneWebhook),
    /// Change a webhook.
    Update(UpdateArgs),
    /// Delete webhooks. What they were still to be told is given up.
    Delete(SomeWebhooks),
    /// Give a webhook a new secret; deliveries can be signed with the old one too for a while.
    RotateSecret(RotateArgs),
    /// Send a webhook, or all that are enabled, an event to try it, and show what became of it.
    Test(deliveries::TestArgs),
    /// List what a webhook was told, newest first.
    Deliveries(deliveries::ListArgs),
    /// Make a delivery once more.
    Redeliver(deliveries::RedeliverArgs),
}

#[derive(Args, Clone, Debug)]
struct CreateArgs {
    /// Where it is: an https address.
    #[arg(value_name = "URL")]
    address: String,
    /// What it is told of: a kind of event, a family such as webhook.*, or *; may be given several times.
    #[arg(long = "event", value_name = "KIND", required = true)]
    events: Vec<String>,
    /// What it is for, in prose.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
    /// Tell it of nothing yet.
    #[arg(long)]
    disabled: bool,
}

#[derive(Args, Clone, Debug)]
struct OneWebhook {
    /// The webhook's id.
    webhook: String,
}

#[derive(Args, Clone, Debug)]
struct SomeWebhooks {
    /// The webhooks' ids.
    #[arg(required = true, value_name = "WEBHOOK")]
    webhooks: Vec<String>,
}

#[derive(Args, Clone, Debug)]
struct UpdateArgs {
    #[command(flatten)]
    webhook: OneWebhook,
    /// Where it is from now on; --url is where Gatepost is.
    #[arg(value_name = "URL")]
    address: Option<String>,
    /// What it is told of from now on; may be given several times.
    #[arg(long = "event", value_name = "KIND")]
    events: Vec<String>,
    /// What it is for, in prose.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Whether it is told of anything.
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
    /// Change it only if it still has this etag.
    #[arg(long)]
    etag: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct RotateArgs {
    #[command(flatten)]
    webhook: OneWebhook,
    /// How long deliveries are signed with the old secret too: 0s to 30d.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = grace)]
    grace: Duration,
    /// Rotate only if the webhook still has this etag.
    #[arg(long)]
    etag: Option<String>,
}

impl WebhooksArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        match &self.command {
            WebhooksCommand::Create(args) => args.run(&connection, output).await?,
            WebhooksCommand::List(page) => list(page, &connection, output).await?,
            WebhooksCommand::Show(one) => {
                let request = v1::GetWebhookRequest { id: one.webhook.clone() };
                view::print(connection.keys().get_webhook(request).await?.into_inner().webhook, output)?;
            }
            WebhooksCommand::Update(args) => args.run(&connection, output).await?,
            WebhooksCommand::Delete(some) => {
                for id in &some.webhooks {
                    let request = v1::DeleteWebhookRequest { id: id.clone(), etag: None };
                    view::print(connection.keys().delete_webhook(request).await?.into_inner().webhook, output)?;
                }
            }
            WebhooksCommand::RotateSecret(args) => args.run(&connection, output).await?,
            WebhooksCommand::Test(args) => return args.run(&connection, output).await,
            WebhooksCommand::Deliveries(args) => args.run(&connection, output).await?,
            WebhooksCommand::Redeliver(args) => args.run(&connection, output).await?,
        }
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }
}

impl CreateArgs {
    async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let webhook = v1::Webhook {
            url: self.address.clone(),
            events: self.events.clone(),
            description: self.description.clone(),
            enabled: Some(!self.disabled),
            ..v1::Webhook::default()
        };
        let request = v1::CreateWebhookRequest { webhook: Some(webhook) };
        let answer = connection.keys().create_webhook(request).await?.into_inner();
        let webhook = view::present(answer.webhook.clone())?;
        output.result(&answer, || view::with_secret(&webhook, &answer.secret), [answer.secret.clone()])?;
        output.note("Keep the secret: it is shown only here.");
        Ok(())
    }
}

impl UpdateArgs {
    async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let fields = [
            ("url", self.address.is_some()),
            ("events", !self.events.is_empty()),
            ("description", self.description.is_some()),
            ("enabled", self.enabled.is_some()),
        ];
        let paths: Vec<_> = fields.iter().filter(|(_, named)| *named).map(|(name, _)| (*name).to_owned()).collect();
        if paths.is_empty() {
            let hint = "`gatepost webhooks update --help` lists what can be changed";
            return Err(Failure::usage("nothing to change").hint(hint));
        }
        let webhook = v1::Webhook {
            id: self.webhook.webhook.clone(),
            etag: self.etag.clone().unwrap_or_default(),
            url: self.address.clone().unwrap_or_default(),
            events: self.events.clone(),
            description: self.description.clone().unwrap_or_default(),
            enabled: self.enabled,
            ..v1::Webhook::default()
        };
        let request = v1::UpdateWebhookRequest { webhook: Some(webhook), update_mask: Some(FieldMask { paths }) };
        view::print(connection.keys().update_webhook(request).await?.into_inner().webhook, output)
    }
}

impl RotateArgs {
    async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let request = v1::RotateWebhookSecretRequest {
            id: self.webhook.webhook.clone(),
            // The flag's own rule keeps it in range.
            grace_period: prost_types::Duration::try_from(self.grace).ok(),
            etag: self.etag.clone(),
        };
        let answer = connection.keys().rotate_webhook_secret(request).await?.into_inner();
        let webhook = view::present(answer.webhook.clone())?;
        output.result(&answer, || view::with_secret(&webhook, &answer.secret), [answer.secret.clone()])?;
        output.note("Keep the new secret: it is shown only here.");
        Ok(())
    }
}

async fn list(page: &PageArgs, connection: &Connection, output: Output) -> Result<(), Failure> {
    let fetch = async |size, token| {
        let request =
            v1::ListWebhooksRequest { page_size: Some(size), page_token: token, ..v1::ListWebhooksRequest::default() };
        let answer = connection.keys().list_webhooks(request).await?.into_inner();
        Ok((answer.data, answer.next_page_token))
    };
    let (data, next_page_token) = page.fetch(fetch).await?;
    let answer = v1::ListWebhooksResponse { data, pagination: None, next_page_token };
    output.result(&answer, || view::list(&answer.data), answer.data.iter().map(|webhook| webhook.id.clone()))?;
    page.note(answer.next_page_token.as_deref(), output);
    Ok(())
}
