//! `gatepost projects`: the tenants of an installation, at a running server; and what can be seen and set of them at the
//! server's machine, without a key.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::arguments::{PageArgs, duration, mask, named};
use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::installation::{DataArgs, project};
use super::limits::{self, default_limit};
use super::output::{Output, OutputArgs, Rows};
use super::text::{span, time};
use crate::domain::clock::Timestamp;
use crate::domain::id::ProjectId;
use crate::domain::key::KeyKind;
use crate::domain::leak::LeakPolicy;
use crate::domain::project::{ClientRegistration, Project, SignUp};
use crate::domain::scope::ScopeSet;
use crate::domain::secret::SecretPrefix;
use crate::proto::v1;

/// Make, change and delete projects, the tenants of an installation.
#[derive(Args, Clone, Debug)]
pub(super) struct ProjectsArgs {
    #[command(subcommand)]
    command: ProjectsCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum ProjectsCommand {
    /// List the projects of the installation. Needs a live administrator key of the project default.
    List(PageArgs),
    /// Show a project, as the server tells it. Without a name, what the data at the server's machine says.
    Show(Box<ShowArgs>),
    /// Make a project, and print its first administrator keys. Needs a live administrator key of the project default.
    Create(CreateArgs),
    /// Change a project. Needs a live administrator key of it, or of the project default.
    Update(UpdateArgs),
    /// Delete projects for good, with all their keys and data. Needs a live administrator key of the project default.
    Delete(Named),
    /// Change a project at the server's machine, without a key.
    Set(Box<SetArgs>),
}

#[derive(Args, Clone, Debug)]
struct ShowArgs {
    /// The project, at a running server.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    here: HereArgs,
}

/// A project at the server's machine.
#[derive(Args, Clone, Debug)]
struct HereArgs {
    /// The project, at the server's machine.
    #[arg(long, default_value = ProjectId::DEFAULT, value_parser = project, conflicts_with = "name")]
    project: ProjectId,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Args, Clone, Debug)]
struct SetArgs {
    /// What the project's new secret keys begin with: 2 to 12 lower-case letters and digits, a letter first, and not pk, rk,
    /// uk or cs. Keys that exist keep theirs.
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    key_prefix: SecretPrefix,
    /// The project.
    #[arg(long, default_value = ProjectId::DEFAULT, value_parser = project)]
    project: ProjectId,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Args, Clone, Debug)]
struct CreateArgs {
    /// Its name: 1 to 40 lower-case letters, digits and inner hyphens, a letter first. Given once, for good.
    name: String,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Args, Clone, Debug)]
struct UpdateArgs {
    /// The project.
    name: String,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Change it only if it still has this etag.
    #[arg(long)]
    etag: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct SettingsArgs {
    /// A name for people.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// What it is for, in prose.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What its new secret keys begin with, in place of sk. Keys that exist keep theirs.
    #[arg(long, value_name = "PREFIX")]
    key_prefix: Option<String>,
    /// Whether people may add themselves as users, with a publishable key.
    #[arg(long, value_name = "SETTING", value_enum)]
    sign_up: Option<SignUpArg>,
    /// How long a session lasts: 5 minutes to 24 hours.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    session_lifetime: Option<Duration>,
    /// A scope for users who add themselves, or are let in by a trusted issuer; may be given several times. In an update, they
    /// come in place of all there are now.
    #[arg(long = "user-scope", value_name = "SCOPE")]
    user_scopes: Vec<String>,
    /// Take the scopes for users away.
    #[arg(long, conflicts_with = "user_scopes")]
    no_user_scopes: bool,
    /// Whether OAuth clients may register themselves.
    #[arg(long, value_name = "SETTING", value_enum)]
    client_registration: Option<RegistrationArg>,
    /// Whether a client may be known by the https address of a document that says what it is.
    #[arg(long, value_name = "BOOL")]
    client_id_metadata_documents: Option<bool>,
    /// A scope for clients that register themselves, beside openid, profile, email and offline_access; may be given several
    /// times. In an update, they come in place of all there are now.
    #[arg(long = "registration-scope", value_name = "SCOPE")]
    registration_scopes: Vec<String>,
    /// Take the scopes for clients that register themselves away.
    #[arg(long, conflicts_with = "registration_scopes")]
    no_registration_scopes: bool,
    /// An API that clients which register themselves may ask tokens for; may be given several times. In an update, they come in
    /// place of all there are now.
    #[arg(long = "registration-resource", value_name = "URI")]
    registration_resources: Vec<String>,
    /// Take the APIs for clients that register themselves away.
    #[arg(long, conflicts_with = "registration_resources")]
    no_registration_resources: bool,
    /// What is done about a credential of the project that was found where it must not be.
    #[arg(long, value_name = "POLICY", value_enum)]
    leak_policy: Option<LeakPolicyArg>,
    /// How many calls each key of a type may make in how long, unless it has a limit of that name of its own, as in
    /// sk:per-minute=100/1m; may be given several times. In an update, they come in place of all there are now.
    #[arg(long = "default-limit", value_name = "TYPE:NAME=CALLS/TIME", value_parser = default_limit)]
    default_limits: Vec<(KeyKind, v1::RateLimit)>,
    /// Take the limits of keys away. Those that keys have of their own stay.
    #[arg(long, conflicts_with = "default_limits")]
    no_default_limits: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LeakPolicyArg {
    /// A key is revoked, for good.
    Revoke,
    /// A key is suspended: as safe, and it can be undone.
    Suspend,
    /// Nothing: the report is only kept.
    Alert,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RegistrationArg {
    /// They may not.
    Closed,
    /// They may with a credential that holds write:clients.
    Token,
    /// Anybody may.
    Open,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SignUpArg {
    /// They may not.
    Closed,
    /// They may.
    Open,
}

#[derive(Args, Clone, Debug)]
struct Named {
    /// The projects.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl ProjectsArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        match &self.command {
            ProjectsCommand::Show(args) if args.name.is_none() => {
                let HereArgs { project, data } = &args.here;
                data.run(async |data| print(Some(told(&data.project(project).await?)), output))?;
            }
            ProjectsCommand::Set(args) => {
                let SetArgs { key_prefix, project, data } = &**args;
                data.run(async |data| print(Some(told(&data.set_secret_prefix(project, key_prefix).await?)), output))?;
            }
            _ => return super::client(self.call(output)),
        }
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }

    async fn call(&self, output: Output) -> Result<Exit, Failure> {
        let connection = Connection::open(&self.connection).await?;
        match &self.command {
            ProjectsCommand::List(page) => list(page, &connection, output).await?,
            ProjectsCommand::Show(args) => {
                let request = v1::GetProjectRequest { id: args.name.clone().unwrap_or_default() };
                print(connection.auth().get_project(request).await?.into_inner().project, output)?;
            }
            ProjectsCommand::Create(args) => args.run(&connection, output).await?,
            ProjectsCommand::Update(args) => args.run(&connection, output).await?,
            ProjectsCommand::Delete(Named { names }) => {
                for id in names {
                    let request = v1::DeleteProjectRequest { id: id.clone(), etag: None };
                    print(connection.auth().delete_project(request).await?.into_inner().project, output)?;
                }
            }
            // `run` sees to this one: it calls no server.
            ProjectsCommand::Set(_) => {}
        }
        Ok(Exit::Done)
    }
}

impl CreateArgs {
    async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let request = v1::CreateProjectRequest { project: Some(self.settings.values(&self.name)) };
        let answer = connection.auth().create_project(request).await?.into_inner();
        let project = present(answer.project.clone())?;
        let rows = || {
            let mut rows = record(&project);
            rows.field("administrator key (live)", &answer.live_secret);
            rows.field("administrator key (test)", &answer.test_secret);
            rows
        };
        output.result(&answer, rows, [answer.live_secret.clone(), answer.test_secret.clone()])?;
        output.note("Keep the keys: they are shown only here.");
        Ok(())
    }
}

impl UpdateArgs {
    async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let SettingsArgs { display_name, description, key_prefix, sign_up, session_lifetime, .. } = &self.settings;
        let fields = [
            ("display_name", display_name.is_some()),
            ("description", description.is_some()),
            ("key_prefix", key_prefix.is_some()),
            ("sign_up", sign_up.is_some()),
            ("session_lifetime", session_lifetime.is_some()),
            ("user_scopes", !self.settings.user_scopes.is_empty() || self.settings.no_user_scopes),
            ("client_registration", self.settings.client_registration.is_some()),
            ("client_id_metadata_documents", self.settings.client_id_metadata_documents.is_some()),
            (
                "registration_scopes",
                !self.settings.registration_scopes.is_empty() || self.settings.no_registration_scopes,
            ),
            (
                "registration_resources",
                !self.settings.registration_resources.is_empty() || self.settings.no_registration_resources,
            ),
            ("leak_policy", self.settings.leak_policy.is_some()),
            ("default_rate_limits", !self.settings.default_limits.is_empty() || self.settings.no_default_limits),
        ];
        let update_mask = Some(mask(named(fields), "projects")?);
        let etag = self.etag.clone().unwrap_or_default();
        let project = v1::Project { etag, ..self.settings.values(&self.name) };
        let request = v1::UpdateProjectRequest { project: Some(project), update_mask };
        print(connection.auth().update_project(request).await?.into_inner().project, output)
    }
}

impl SettingsArgs {
    fn values(&self, id: &str) -> v1::Project {
        v1::Project {
            id: id.to_owned(),
            display_name: self.display_name.clone().unwrap_or_default(),
            description: self.description.clone().unwrap_or_default(),
            key_prefix: self.key_prefix.clone().unwrap_or_default(),
            sign_up: self.sign_up.map_or(v1::project::SignUp::Unspecified, Into::into).into(),
            session_lifetime: self.session_lifetime.and_then(|time| time.try_into().ok()),
            user_scopes: self.user_scopes.clone(),
            client_registration: self
                .client_registration
                .map_or(v1::project::ClientRegistration::Unspecified, Into::into)
                .into(),
            client_id_metadata_documents: self.client_id_metadata_documents.unwrap_or_default(),
            registration_scopes: self.registration_scopes.clone(),
            registration_resources: self.registration_resources.clone(),
            leak_policy: self.leak_policy.map_or(v1::project::LeakPolicy::Unspecified, Into::into).into(),
            default_rate_limits: limits::defaults(&self.default_limits),
            ..v1::Project::default()
        }
    }
}

impl From<LeakPolicyArg> for v1::project::LeakPolicy {
    fn from(policy: LeakPolicyArg) -> Self {
        match policy {
            LeakPolicyArg::Revoke => Self::Revoke,
            LeakPolicyArg::Suspend => Self::Suspend,
            LeakPolicyArg::Alert => Self::Alert,
        }
    }
}

impl From<RegistrationArg> for v1::project::ClientRegistration {
    fn from(setting: RegistrationArg) -> Self {
        match setting {
            RegistrationArg::Closed => Self::RegistrationClosed,
            RegistrationArg::Token => Self::RegistrationToken,
            RegistrationArg::Open => Self::RegistrationOpen,
        }
    }
}

impl From<SignUpArg> for v1::project::SignUp {
    fn from(setting: SignUpArg) -> Self {
        match setting {
            SignUpArg::Closed => Self::Closed,
            SignUpArg::Open => Self::Open,
        }
    }
}

async fn list(page: &PageArgs, connection: &Connection, output: Output) -> Result<(), Failure> {
    let fetch = async |size, token| {
        let request =
            v1::ListProjectsRequest { page_size: Some(size), page_token: token, ..v1::ListProjectsRequest::default() };
        let answer = connection.auth().list_projects(request).await?.into_inner();
        Ok((answer.data, answer.next_page_token))
    };
    let (data, next_page_token) = page.fetch(fetch).await?;
    let answer = v1::ListProjectsResponse { data, pagination: None, next_page_token };
    let rows = || {
        let mut rows = Rows::under(["PROJECT", "NAME", "KEY PREFIX", "CREATED"]);
        for v1::Project { id, display_name, key_prefix, created_at, .. } in &answer.data {
            rows.push([id.clone(), display_name.clone(), key_prefix.clone(), time(created_at.as_ref())]);
        }
        rows
    };
    output.result(&answer, rows, answer.data.iter().map(|project| project.id.clone()))?;
    page.note(answer.next_page_token.as_deref(), output);
    Ok(())
}

fn print(project: Option<v1::Project>, output: Output) -> Result<(), Failure> {
    let project = present(project)?;
    output.result(&project, || record(&project), [project.id.clone()])
}

fn present(project: Option<v1::Project>) -> Result<v1::Project, Failure> {
    project.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no project"))
}

fn record(project: &v1::Project) -> Rows {
    let mut rows = Rows::record();
    rows.field("project", &project.id);
    rows.field("name", &project.display_name);
    rows.field("description", &project.description);
    rows.field("key prefix", &project.key_prefix);
    rows.field("sign-up", project.sign_up().as_str_name().to_lowercase());
    rows.field("sessions last", span(project.session_lifetime.as_ref()));
    rows.field("scopes of users", project.user_scopes.join(" "));
    let registration = project.client_registration().as_str_name().to_lowercase();
    rows.field("clients register", registration.trim_start_matches("registration_"));
    rows.field("clients by document", if project.client_id_metadata_documents { "taken" } else { "not taken" });
    rows.field("scopes of such clients", project.registration_scopes.join(" "));
    for uri in &project.registration_resources {
        rows.field("resource of such clients", uri);
    }
    rows.field("leaked keys", project.leak_policy().as_str_name().to_lowercase());
    limits::default_rows(&project.default_rate_limits, &mut rows);
    rows.field("created", time(project.created_at.as_ref()));
    rows.field("updated", time(project.updated_at.as_ref()));
    rows.field("deleted", time(project.deleted_at.as_ref()));
    rows.field("etag", &project.etag);
    rows
}

/// A project as a server tells it; times in whole seconds.
fn told(project: &Project) -> v1::Project {
    let at = |time: Timestamp| prost_types::Timestamp { seconds: time.millis().div_euclid(1_000), nanos: 0 };
    v1::Project {
        id: project.id.to_string(),
        display_name: project.details.display_name.clone(),
        description: project.details.description.clone(),
        key_prefix: project.details.secret_prefix.to_string(),
        sign_up: match project.details.sign_up {
            SignUp::Closed => v1::project::SignUp::Closed,
            SignUp::Open => v1::project::SignUp::Open,
        }
        .into(),
        session_lifetime: project.details.session_lifetime.try_into().ok(),
        user_scopes: spelt(&project.details.user_scopes),
        client_registration: match project.details.client_registration {
            ClientRegistration::Closed => v1::project::ClientRegistration::RegistrationClosed,
            ClientRegistration::Token => v1::project::ClientRegistration::RegistrationToken,
            ClientRegistration::Open => v1::project::ClientRegistration::RegistrationOpen,
        }
        .into(),
        client_id_metadata_documents: project.details.client_documents,
        registration_scopes: spelt(&project.details.registration_scopes),
        registration_resources: project.details.registration_resources.iter().map(ToString::to_string).collect(),
        leak_policy: match project.details.leak_policy {
            LeakPolicy::Revoke => v1::project::LeakPolicy::Revoke,
            LeakPolicy::Suspend => v1::project::LeakPolicy::Suspend,
            LeakPolicy::Alert => v1::project::LeakPolicy::Alert,
        }
        .into(),
        default_rate_limits: limits::told(&project.details.default_rate_limits),
        created_at: Some(at(project.created_at)),
        updated_at: Some(at(project.updated_at)),
        deleted_at: project.deleted_at.map(at),
        etag: project.etag(),
    }
}

fn spelt(scopes: &ScopeSet) -> Vec<String> {
    scopes.iter().map(|scope| scope.spelling().to_owned()).collect()
}

fn prefix(text: &str) -> Result<SecretPrefix, String> {
    SecretPrefix::parse_own(text).ok_or_else(|| SecretPrefix::RULE.to_owned())
}
