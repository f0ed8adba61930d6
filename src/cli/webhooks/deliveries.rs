//! What webhooks were told.

use clap::{Args, ValueEnum};

use super::super::arguments::PageArgs;
use super::super::connection::Connection;
use super::super::exit::{Exit, Failure};
use super::super::output::{Output, Rows};
use super::super::text::time;
use crate::proto::v1;
use crate::proto::v1::webhook_delivery::State;

#[derive(Args, Clone, Debug)]
pub(super) struct TestArgs {
    /// The webhook's id. Without it, all that are enabled.
    webhook: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ListArgs {
    /// The webhook's id.
    webhook: String,
    /// Only those in this state.
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args, Clone, Debug)]
pub(super) struct RedeliverArgs {
    /// The webhook's id.
    webhook: String,
    /// The deliveries' ids.
    #[arg(required = true, value_name = "DELIVERY")]
    deliveries: Vec<String>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArg {
    Waiting,
    Delivered,
    Failed,
    Dropped,
}

impl TestArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<Exit, Failure> {
        let request = v1::TestWebhookRequest { id: self.webhook.clone().unwrap_or_default() };
        let answer = connection.keys().test_webhook(request).await?.into_inner();
        output.result(
            &answer,
            || rows(&answer.data),
            answer.data.iter().map(|one| one.state().as_str_name().to_owned()),
        )?;
        let arrived = answer.data.iter().all(|delivery| delivery.state() == State::Delivered);
        Ok(if arrived { Exit::Done } else { Exit::Failed })
    }
}

impl ListArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let state = self.state.map(|state| match state {
            StateArg::Waiting => State::Waiting,
            StateArg::Delivered => State::Delivered,
            StateArg::Failed => State::Failed,
            StateArg::Dropped => State::Dropped,
        });
        let fetch = async |size, token| {
            let request = v1::ListWebhookDeliveriesRequest {
                webhook_id: self.webhook.clone(),
                state: state.map(i32::from),
                page_size: Some(size),
                page_token: token,
                ..v1::ListWebhookDeliveriesRequest::default()
            };
            let answer = connection.keys().list_webhook_deliveries(request).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(fetch).await?;
        let answer = v1::ListWebhookDeliveriesResponse { data, pagination: None, next_page_token };
        output.result(&answer, || rows(&answer.data), answer.data.iter().map(|delivery| delivery.id.clone()))?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(())
    }
}

impl RedeliverArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        for id in &self.deliveries {
            let request = v1::RedeliverWebhookRequest { webhook_id: self.webhook.clone(), id: id.clone() };
            let delivery = connection.keys().redeliver_webhook(request).await?.into_inner().delivery;
            let delivery =
                delivery.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no delivery"))?;
            output.result(&delivery, || rows(std::slice::from_ref(&delivery)), [delivery.id.clone()])?;
        }
        Ok(())
    }
}

fn rows(deliveries: &[v1::WebhookDelivery]) -> Rows {
    let mut rows =
        Rows::under(["QUEUED", "ID", "WEBHOOK", "TYPE", "STATE", "ATTEMPTS", "STATUS", "ERROR", "TOOK", "NEXT"]);
    for delivery in deliveries {
        let state = delivery.state().as_str_name().to_owned();
        let took = delivery
            .duration
            .as_ref()
            .map(|took| format!("{}ms", took.seconds * 1_000 + i64::from(took.nanos) / 1_000_000));
        let v1::WebhookDelivery { id, webhook_id, r#type, attempts, status, error, .. } = delivery.clone();
        let status = status.map(|status| status.to_string()).unwrap_or_default();
        let (queued, next) = (time(delivery.created_at.as_ref()), time(delivery.next_attempt_at.as_ref()));
        let (error, took) = (error.unwrap_or_default(), took.unwrap_or_default());
        rows.push([queued, id, webhook_id, r#type, state, attempts.to_string(), status, error, took, next]);
    }
    rows
}
