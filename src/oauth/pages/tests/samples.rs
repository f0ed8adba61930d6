//! The pages as they are seen, and any page with any text in it.

use http::{Response, StatusCode};

use crate::oauth::pages::*;

/// A page that was rendered.
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) html: String,
    pub(super) headers: http::HeaderMap,
    pub(super) page: Shape,
}

/// What may be on a page that others do not have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Shape {
    /// It has a form for the client.
    pub(super) posts_to_client: bool,
}

impl Sample {
    fn of(name: &str, page: &impl Page) -> Self {
        let response: Response<_> = response(page, StatusCode::OK);
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        let (parts, body) = response.into_parts();
        let html = String::from_utf8(body.to_vec()).unwrap();
        let posts_to_client = name.starts_with("form_post");
        Self { name: name.to_owned(), html, headers: parts.headers, page: Shape { posts_to_client } }
    }

    /// The Content-Security-Policy of the answer.
    pub(super) fn policy(&self) -> &str {
        self.headers["content-security-policy"].to_str().unwrap()
    }
}

/// The pages as they are seen.
pub(super) fn all() -> Vec<Sample> {
    let project = Text::from("Brightside Market");
    let shop = Client { name: "Orders for Shopkeepers".into(), logo: None, host: "".into() };
    let pictured = Client { logo: Logo::parse(PICTURE), ..shop };
    let unreachable = Client { logo: Logo::parse("https://cdn.example.invalid/logo.png"), ..shop };
    let nameless = Client { name: "".into(), logo: None, host: "".into() };
    let account = Account { name: "Ada Lovelace".into(), login: "ada@example.com".into() };
    let site = Destination::of("https://orders.example.com/callback").unwrap();
    let program = Destination::of("http://127.0.0.1:51004/callback").unwrap();
    let app = Destination::of("com.example.orders:/callback").unwrap();
    let url = |text| OwnUrl::parse(text).unwrap();
    let form = |action| Form { action: url(action), csrf: "q3k9c0", carried: vec![("request", "req_01kb")] };
    let permissions = permissions();

    let sign_in = SignIn {
        project,
        client: Some(shop),
        login: "".into(),
        error: None,
        sign_up: Some(url("/oauth/sign-up?request=req_01kb")),
        leads_on: true,
        form: form("/oauth/sign-in"),
    };
    let sign_up = SignUp {
        project,
        client: Some(shop),
        handle: "".into(),
        handle_error: None,
        alias: "".into(),
        alias_error: None,
        password_error: None,
        error: None,
        sign_in: Some(url("/oauth/sign-in?request=req_01kb")),
        leads_on: true,
        form: form("/oauth/sign-up"),
    };
    let consent = Consent {
        project,
        client: pictured,
        registered_itself: false,
        account,
        permissions: permissions.clone(),
        resources: vec!["https://api.example.com/".into()],
        destination: site,
        form: form("/oauth/consent"),
    };
    let code = DeviceCode { project, code: "".into(), error: None, form: form("/oauth/device") };
    let tv = Client { name: "Brightside TV".into(), logo: None, host: "".into() };
    let few = Permissions::new([Permission { scope: "read:products", words: "See products".into() }]);
    let confirm = DeviceConfirm {
        project,
        client: tv,
        registered_itself: false,
        account,
        code: "WDJB-MJHT".into(),
        permissions: few.clone(),
        resources: Vec::new(),
        form: form("/oauth/device/confirm"),
    };
    let error = ErrorPage {
        project,
        title: "This link does not work".into(),
        happened: "The application that sent you here named an address to return to that is not registered for it."
            .into(),
        to_do: "Go back to the application and try again. If that does not help, tell whoever runs it.".into(),
        request_id: "req_01kb3v9m5x8e2n7q4t6w0y1z3a".into(),
    };
    let sign_out = SignOut { project, client: Some(shop), account, leads_on: true, form: form("/oauth/sign-out") };
    let posted = FormPost {
        project,
        to: PostTarget::parse("https://orders.example.com/callback").unwrap(),
        fields: vec![("code", "ac_7Hq"), ("state", "a&b=<c>\""), ("iss", "https://auth.example.com")],
    };
    let wrong: Option<Text> = Some("The handle, email address or password is not right.".into());

    vec![
        Sample::of("sign_in", &sign_in),
        Sample::of("sign_in_wrong", &SignIn { login: "ada@example.com".into(), error: wrong, ..sign_in.clone() }),
        Sample::of(
            "sign_in_plain",
            &SignIn { project: "".into(), client: None, sign_up: None, leads_on: false, ..sign_in },
        ),
        Sample::of("sign_up", &sign_up),
        Sample::of(
            "sign_up_wrong",
            &SignUp {
                handle: "Ada Lovelace".into(),
                handle_error: Some("The handle must be 1 to 50 small letters, digits and inner hyphens.".into()),
                alias: "Ada".into(),
                alias_error: Some("The name must have 1 to 100 characters.".into()),
                password_error: Some(
                    "The password is one that many people have, and that is tried first; choose another.".into(),
                ),
                error: Some("Some of this cannot be taken as it is.".into()),
                ..sign_up.clone()
            },
        ),
        Sample::of("sign_up_plain", &SignUp { client: None, sign_in: None, leads_on: false, ..sign_up }),
        Sample::of("consent", &consent),
        Sample::of(
            "consent_few",
            &Consent { client: shop, registered_itself: true, permissions: few, destination: app, ..consent.clone() },
        ),
        Sample::of(
            "consent_document",
            &Consent {
                client: Client { name: "Agent".into(), logo: None, host: "agents.example.com:8443".into() },
                registered_itself: true,
                ..consent.clone()
            },
        ),
        Sample::of(
            "consent_nothing",
            &Consent {
                client: nameless,
                account: Account { name: "".into(), login: "ada".into() },
                permissions: Permissions::default(),
                resources: Vec::new(),
                destination: program,
                ..consent.clone()
            },
        ),
        Sample::of(
            "consent_admin",
            &Consent { client: unreachable, permissions: everything(), resources: services(), ..consent },
        ),
        Sample::of("device_code", &code),
        Sample::of(
            "device_code_wrong",
            &DeviceCode {
                code: "wdjb-mjhx".into(),
                error: Some("No device waits with this code. Check it, or have the device show a new one.".into()),
                ..code
            },
        ),
        Sample::of("device_confirm", &confirm),
        Sample::of(
            "device_confirm_much",
            &DeviceConfirm {
                client: pictured,
                registered_itself: true,
                permissions,
                resources: services(),
                ..confirm.clone()
            },
        ),
        Sample::of(
            "device_confirm_document",
            &DeviceConfirm {
                client: Client { host: "tv.example.com".into(), ..tv },
                registered_itself: true,
                ..confirm.clone()
            },
        ),
        Sample::of("device_done", &DeviceDone { project, client: tv, allowed: true }),
        Sample::of("device_denied", &DeviceDone { project, client: tv, allowed: false }),
        Sample::of("error", &error),
        Sample::of("error_plain", &ErrorPage { project: "".into(), ..error }),
        Sample::of("sign_out", &sign_out),
        Sample::of("sign_out_plain", &SignOut { client: None, leads_on: false, ..sign_out }),
        Sample::of("signed_out", &SignedOut { project, sign_in: Some(url("/oauth/sign-in")) }),
        Sample::of("signed_out_plain", &SignedOut { project, sign_in: None }),
        Sample::of("form_post", &posted),
    ]
}

/// Every page with this text wherever a text can be.
pub(super) fn filled_with(text: &str) -> Vec<Sample> {
    let (project, shown) = (Text::from(text), Text::from(text));
    // Addresses are read into types of their own, but quotes are visible ASCII: an address may hold them.
    let url = OwnUrl::parse(OWN_URL).unwrap();
    let destination = Destination::of("https://app.example/").unwrap();
    let client = Client { name: shown, logo: Logo::parse(LOGO), host: shown };
    let account = Account { name: shown, login: shown };
    let form = Form { action: url, csrf: text, carried: vec![("a", text), ("b", text)] };
    let permissions = Permissions::new([
        Permission { scope: "openid", words: shown },
        Permission { scope: if shown.is_blank() { "write:orders" } else { text }, words: shown },
        Permission { scope: "admin", words: shown },
    ]);
    let resources = vec![if shown.is_blank() { "https://api.example.com/".into() } else { shown }];
    vec![
        Sample::of(
            "sign_in",
            &SignIn {
                project,
                client: Some(client),
                login: shown,
                error: Some(shown),
                sign_up: Some(url),
                leads_on: true,
                form: form.clone(),
            },
        ),
        Sample::of(
            "sign_up",
            &SignUp {
                project,
                client: Some(client),
                handle: shown,
                handle_error: Some(shown),
                alias: shown,
                alias_error: Some(shown),
                password_error: Some(shown),
                error: Some(shown),
                sign_in: Some(url),
                leads_on: true,
                form: form.clone(),
            },
        ),
        Sample::of(
            "consent",
            &Consent {
                project,
                client,
                registered_itself: true,
                account,
                permissions: permissions.clone(),
                resources: resources.clone(),
                destination,
                form: form.clone(),
            },
        ),
        Sample::of("device_code", &DeviceCode { project, code: shown, error: Some(shown), form: form.clone() }),
        Sample::of(
            "device_confirm",
            &DeviceConfirm {
                project,
                client,
                registered_itself: true,
                account,
                code: shown,
                permissions,
                resources,
                form: form.clone(),
            },
        ),
        Sample::of("device_done", &DeviceDone { project, client, allowed: true }),
        Sample::of("error", &ErrorPage { project, title: shown, happened: shown, to_do: shown, request_id: shown }),
        Sample::of("sign_out", &SignOut { project, client: Some(client), account, leads_on: true, form }),
        Sample::of("signed_out", &SignedOut { project, sign_in: Some(url) }),
        Sample::of(
            "form_post",
            &FormPost {
                project,
                to: PostTarget::parse(TARGET).unwrap(),
                fields: vec![("code", text), ("state", text)],
            },
        ),
    ]
}

fn services() -> Vec<Text<'static>> {
    let long = "https://orders.eu-central-1.services.brightside-workshop-and-sons.example/v2/tenants/0192f6a9/";
    ["https://mcp.example.com/", long, "urn:example:billing"].map(Text::from).to_vec()
}

fn permissions() -> Permissions<'static> {
    let asked = [
        ("openid", words("openid").unwrap()),
        ("profile", words("profile").unwrap()),
        ("email", words("email").unwrap()),
        ("read:orders", "See orders"),
        ("read:products", "See products"),
        ("write:orders", "Place, change and cancel orders"),
        ("offline_access", words("offline_access").unwrap()),
    ];
    Permissions::new(asked.map(|(scope, words)| Permission { scope, words: words.into() }))
}

fn everything() -> Permissions<'static> {
    let asked = [("admin", "Everything in the project"), ("write:budgets", "")];
    Permissions::new(asked.map(|(scope, words)| Permission { scope, words: words.into() }))
}

/// Addresses that try to leave their attributes.
pub(super) const OWN_URL: &str = "/oauth?x=\"><script>alert(1)</script>'&amp;";
pub(super) const LOGO: &str = "data:image/png,\"onerror=\"alert(1)'><script>";
pub(super) const TARGET: &str = "https://app.example/cb?x=\"><script>alert(1)</script>'&amp;";

/// A picture without a server.
const PICTURE: &str = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHZpZXdCb3g9IjAgMCA4IDgiPjxyZWN0IHdpZHRoPSI4IiBoZWlnaHQ9IjgiIGZpbGw9IiMyNDNjN2EiLz48Y2lyY2xlIGN4PSI0IiBjeT0iNCIgcj0iMiIgZmlsbD0iI2ZmYzg0YSIvPjwvc3ZnPg==";
