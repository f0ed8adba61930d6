//! Who may call each RPC, read from the method options in the descriptors.

use std::fmt;

use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::domain::scope::Scope;
use crate::proto::{METHODS, MethodId};

/// What a caller must hold to call one RPC.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who may call it.
    pub access: Access,
    /// Whether the caller must be an administrator of the whole installation.
    pub installation: bool,
    /// Whether a publishable key is enough.
    pub publishable: bool,
    /// Whether the caller must act as a user.
    pub user: bool,
    /// Whether the caller brings a user, whom a token of a trusted issuer beside the key tells of.
    pub introduction: bool,
    /// Whether the answer may hold a secret.
    pub secret_response: bool,
    /// What a call of it costs, in calls, where limits are held against it.
    pub cost: u32,
    /// Scopes that nobody needs for it, but of which whoever holds them by a token makes use: its service asks for them. Nobody
    /// needs another one for such an RPC.
    pub wider: Vec<Scope>,
}

/// Who may call an RPC.
#[derive(Clone, Debug)]
pub enum Access {
    /// Anyone; a credential is not looked at.
    Public,
    /// Anyone; a credential, if there is one, must be good, and names the project and the environment.
    Open,
    /// Anyone with a valid credential.
    Authenticated,
    /// Whoever holds all these scopes; there is at least one.
    Scopes(Vec<Scope>),
}

impl Access {
    /// The scopes needed.
    pub fn scopes(&self) -> &[Scope] {
        match self {
            Self::Public | Self::Open | Self::Authenticated => &[],
            Self::Scopes(scopes) => scopes,
        }
    }
}

/// The policies of all RPCs.
#[derive(Clone, Debug)]
pub struct Policies(Box<[Policy]>);

impl Policies {
    /// Reads the policies of all our RPCs.
    ///
    /// # Errors
    /// Names the first RPC whose policy is missing or grants by absence. The server does not start then.
    pub fn from_descriptors(pool: &DescriptorPool) -> Result<Self, PolicyError> {
        let extension = pool.get_extension_by_name("gatepost.v1.policy").ok_or(PolicyError("gatepost.v1.policy"))?;
        let policy_of = |path: &'static str| {
            let (service, method) = path.trim_start_matches('/').split_once('/')?;
            let service = pool.get_service_by_name(service)?;
            let options = service.methods().find(|m| m.name() == method)?.options();
            let policy = options.get_extension(&extension);
            let mut policy = read(policy.as_message()?)?;
            let wider = WIDER.iter().filter(|(rpc, _)| *rpc == path);
            policy.wider =
                wider.map(|(_, scope)| Scope::parse(scope).filter(Scope::is_built_in)).collect::<Option<_>>()?;
            Some(policy)
        };
        METHODS.into_iter().map(|path| policy_of(path).ok_or(PolicyError(path))).collect::<Result<_, _>>().map(Self)
    }

    /// The policy of an RPC.
    pub fn of(&self, method: MethodId) -> &Policy {
        &self.0[method.index()]
    }
}

/// An RPC that says not, or not clearly, who may call it.
#[derive(Debug)]
pub struct PolicyError(&'static str);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no policy that says who may call it", self.0)
    }
}

impl std::error::Error for PolicyError {}

/// Reads one policy; none if it does not give exactly one way in, a scope breaks the rule or is not built in, it is for
/// administrators of the installation and does not ask for `admin`, or lets publishable keys in, it needs a user and is
/// open to anyone, it costs nothing, or a user is to be introduced and it does not ask for one.
fn read(policy: &DynamicMessage) -> Option<Policy> {
    let flag = |name: &str| policy.get_field_by_name(name).and_then(|value| value.as_bool()).unwrap_or(false);
    let scopes = policy.get_field_by_name("scopes")?;
    let scopes: Vec<Scope> = scopes
        .as_list()?
        .iter()
        .map(|scope| scope.as_str().and_then(Scope::parse).filter(Scope::is_built_in))
        .collect::<Option<_>>()?;
    let access = match (flag("public"), flag("authenticated"), scopes.is_empty()) {
        (true, false, true) if flag("publishable") => Access::Open,
        (true, false, true) => Access::Public,
        (false, true, true) => Access::Authenticated,
        (false, false, false) => Access::Scopes(scopes),
        _ => return None,
    };
    let installation = flag("installation");
    if installation && (flag("publishable") || !access.scopes().iter().any(Scope::is_admin)) {
        return None;
    }
    let user = flag("user");
    if user && matches!(access, Access::Public | Access::Open) {
        return None;
    }
    let introduction = flag("introduction");
    if introduction && !(user && matches!(access, Access::Authenticated)) {
        return None;
    }
    let (publishable, secret_response) = (flag("publishable"), flag("secret_response"));
    let cost = match policy.has_field_by_name("cost") {
        true => policy.get_field_by_name("cost")?.as_u32().filter(|cost| *cost > 0)?,
        false => 1,
    };
    let wider = Vec::new();
    Some(Policy { access, installation, publishable, user, introduction, secret_response, cost, wider })
}

/// What the services of RPCs ask for themselves, so that it counts as needed.
const WIDER: [(&str, &str); 1] = [("/gatepost.v1.Users/GetMe", READ_USERS)];
/// The scope with which a token tells all of its user.
const READ_USERS: &str = "read:users";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::descriptor_pool;

    #[test]
    fn what_services_ask_for_themselves_counts() {
        let policies = Policies::from_descriptors(descriptor_pool()).unwrap();
        for (path, scope) in WIDER {
            let policy = policies.of(MethodId::find(path).unwrap());
            assert!(matches!(policy.access, Access::Authenticated), "{path}");
            assert_eq!(policy.wider.iter().map(Scope::plain).collect::<Vec<_>>(), [scope], "{path}");
        }
    }

    #[test]
    fn every_rpc_says_who_may_call_it() {
        let policies = Policies::from_descriptors(descriptor_pool()).unwrap();
        let of = |path| policies.of(MethodId::find(path).unwrap());
        assert_eq!(of("/gatepost.v1.Keys/CreateKey").access.scopes()[0].plain(), "write:keys");
        assert!(of("/gatepost.v1.Keys/CreateKey").secret_response);
        assert!(of("/gatepost.v1.Products/GetProduct").publishable);
        assert!(matches!(of("/gatepost.v1.Auth/WhoAmI").access, Access::Authenticated));
        let installation: Vec<_> =
            MethodId::all().filter(|m| policies.of(*m).installation).map(MethodId::path).collect();
        let projects = ["CreateProject", "ListProjects", "DeleteProject"];
        assert_eq!(installation, projects.map(|method| format!("/gatepost.v1.Auth/{method}")));
    }

    #[test]
    fn publishable_keys_reach_nothing_that_writes_or_tells_about_keys() {
        let policies = Policies::from_descriptors(descriptor_pool()).unwrap();
        let open: Vec<_> = MethodId::all().filter(|m| policies.of(*m).publishable).map(MethodId::path).collect();
        assert_eq!(
            open,
            [
                "/gatepost.v1.Auth/WhoAmI",
                // It names the project that somebody signs in to, or up: what they may do is their own.
                "/gatepost.v1.Auth/SignIn",
                "/gatepost.v1.Auth/SignUp",
                "/gatepost.v1.Products/GetProduct",
                "/gatepost.v1.Products/ListProducts",
                "/gatepost.v1.Products/SearchProducts"
            ]
        );
    }
}
