//! Gatepost issues, checks and governs API credentials: one binary, one port, three wires (gRPC, gRPC-Web, HTTP/JSON), one
//! decision behind all of them. This page is the map of the crate.
//!
//! # Layers
//!
//! | part | what it owns | may use |
//! |---|---|---|
//! | [`domain`] | values and their rules: secrets, scopes, keys, [OAuth](domain::oauth), [reasons](domain::reason) for refusals; no clock, no I/O | - |
//! | [`proto`] | the messages and services generated from `proto/`, and their descriptors | - |
//! | [`net`] | sockets and time: accepting, TLS, limits, draining; knows nothing of what it serves | - |
//! | [`config`] | one validated struct from flags, environment and file | `domain` |
//! | [`store`] | the only SQL, on SQLite and PostgreSQL; and what Redis counts | `domain` |
//! | [`telemetry`] | log, traces, metrics | `config`, `domain`, `proto` |
//! | [`auth`] | who is calling, and may they: headers, cache, change feed, the decision | `store`, `proto` |
//! | [`service`] | what the product does, in domain types, [`Caller`](auth::caller::Caller) first | `auth`, `store` |
//! | [`rpc`] | the gRPC services: decode, validate, call the service, encode | `service` and below |
//! | [`edge`] | HTTP/JSON for the same RPCs, made of the descriptors; CORS, problems, OpenAPI | `domain`, `proto` |
//! | [`oauth`] | the authorization server's own door: the endpoints of the RFCs, and the [pages](oauth::pages) that people see | `service` and below |
//! | [`intake`] | the door for reports of leaked credentials, which are signed: GitHub's, and those of whoever has the secret | `auth`, `service` |
//! | [`server`] | the composition root: the only part that knows all of the above | all |
//! | [`cli`] | the command line: starts a server, or is a gRPC client of one | `server`, `proto` |
//!
//! `tests/it/architecture.rs` reads the sources and fails on any other use.
//!
//! # One request
//!
//! 1. [`net::serve`] accepts the connection (TLS, first bytes, time-outs) and hands each request to the front
//!    (`server/front.rs`).
//! 2. The front gives the request its id, tells the wire by the content type, opens the trace span, and catches panics. It
//!    answers `/healthz`, `/readyz`, `/metrics`, `/openapi.json` and `/.well-known/jwks.json` itself (`server/endpoints.rs`),
//!    and refuses what did not come over HTTPS where it had to.
//! 3. It resolves the RPC: by its path for gRPC and gRPC-Web ([`proto::MethodId`]), by method and path template for JSON
//!    ([`edge::Edge::resolve`], which may also answer 404, 405 or OPTIONS).
//! 4. **The one check**, before a byte of the body is read: [`auth::guard::Guard::admit`] reads the credentials from the
//!    headers, finds them ([`auth::lookup`]: what was presented lately, checksum, cache, store), decides ([`auth::decide`]),
//!    holds the RPC's [policy](auth::policy) against them, and last of all spends what the call costs ([`auth::limit`];
//!    with [`store::redis`], if that is configured, counting for all nodes). The `Caller` it makes travels with the call; nothing
//!    acts without one, and nothing else makes one. Health and reflection alone are open, by one constant (`server/grpc.rs`).
//!    A token of an issuer that the project trusts, beside a key, is verified by [`auth::outside`], whose issuers' keys
//!    [`net::Fetcher`] gets.
//! 5. Under the deadline (the client's or the configured one), the request becomes protobuf bytes: those of the one message of
//!    a unary gRPC or gRPC-Web call (`server/unary.rs`), or what [`edge::Edge::call`] makes of path, query and body by tables.
//!    [`proto::dispatch`], generated, decodes them and calls the very function that tonic would call. Streams and base64 go
//!    through tonic's generated services and `GrpcWebLayer` (`server/grpc.rs`). `Auth.Verify` alone has a shorter way to the
//!    same decision (`rpc/verify.rs`).
//! 6. The function in [`rpc`] takes the caller out of the request's extensions, validates the message into domain types, calls a
//!    [`service`], and encodes what it answers. Whatever is refused is a [`domain::error::Error`] with a
//!    [`Reason`](domain::reason::Reason): [`rpc::status`] makes the gRPC status of it, and [`edge::problem`] the problem
//!    document of that status. One table says how each reason is told on all wires.
//! 7. The front counts, closes the span and adds the headers that every answer has.
//!
//! A token that is bound to a key opens nothing without a proof for the very request: [`auth::dpop`] holds it against method, address,
//! token and time, and against those seen before. Clients that sign what proves who they are are checked by
//! [`auth::outside::assertion`], whose ids the store uses up for all nodes.
//!
//! People sign in with a password: [`auth::attempts`] bounds the guesses, [`auth::password`] hashes on threads of its own, and
//! [`service::sessions`] begins a session, whose token ([`auth::signing`]) is from then on looked up like the secret of a key. An
//! access token that was exchanged for another credential ([`service::oauth`]) is looked up with that, each time.
//!
//! Clients of OAuth come through a second door: the front hands the paths of [`oauth::Endpoint`] to [`oauth::OAuth`], which reads
//! the parameters and writes pages, redirects and JSON in the words of the RFCs. What is granted is decided in
//! [`service::oauth`], what is good once is claimed in `store/oauth`, and an access token is from then on looked up like the
//! secret of a key.
//!
//! Every decision about a credential is counted where it is made ([`auth::usage`], by counters that the credential remembers,
//! [`domain::usage`]), and written down every few seconds and at the end: `store/usage.rs`. The reports are read by [`service::usage`], and
//! [`service::narrowing`] takes from keys what they do not need.
//!
//! What is written down is held against the rules of its project in the same transaction ([`domain::alert`],
//! `store/alert_watch.rs`): an alert, the claim that tells it once on all nodes, and what webhooks are told of it are one
//! (`store/alert_raising.rs`). [`auth::alarm`] logs and counts them, and looks for keys that will end. A honey key is found as
//! [`auth::lookup::Found::Honey`], which whoever looks a credential up has to treat as one that nobody knows, and to count.
//!
//! A client may be known by the address of a document of its own ([`domain::oauth::document`]): [`service::oauth`] has it fetched when
//! something begins, and keeps the client like any other.
//!
//! Whoever reports leaked credentials comes through a third: the front hands the paths of [`intake::Endpoint`] to [`intake::Intake`],
//! which holds the signature against the very bytes of the body. [`service::leaks`] finds whose they are and does what the project's
//! policy says.
//!
//! What happens is told by webhooks ([`domain::webhook`]): `store/outbox.rs` writes the deliveries in the transaction of what they tell
//! of, [`service::webhooks`] signs and makes them, and [`net::Fetcher`] calls, never an address inside that was not configured.
//!
//! A write is one transaction in [`store`]. What can turn a decision also writes a row of the change log there;
//! [`service::Context`] has the cache forget the key before the call returns, and the feed ([`auth::feed`]) brings the row
//! to the other nodes. What changes keys, users, sessions, scopes or projects writes its event of the audit log there too
//! ([`domain::audit`], [`domain::audit_chain`]): `service::Context` makes it, with the fields before and after.
//!
//! Secrets are hashed and sealed by [`domain::sealing`], with keys that the store holds wrapped under the master key, so that it
//! can be replaced while servers run (`store/master_keys.rs`, `server/master_key.rs`). What is sealed anew then is listed in
//! `store/resealing.rs`: a new thing that is sealed has to be added there. Tokens of our own are signed and checked by
//! [`auth::signing`].
//!
//! # Adding an RPC
//!
//! 1. In `proto/gatepost/v1`, write the method and its messages, each with a comment, `google.api.http` bindings and a
//!    `policy`. `build.rs` fails without them. A thing that the path names is taught to `tests/it/projects/wall.rs`. A new file also goes into its list of `PROTOS`.
//! 2. A scope it needs that is new goes into [`domain::scope::BUILT_IN`]; a new reason into `error_reason.proto` and
//!    [`domain::reason`].
//! 3. The crate now lacks a trait's function: write it in the service's file in `rpc/`, what it does in `service/`, and
//!    what it keeps in `store/`. All are tested where they stand.
//! 4. A new service is also a field and a line of dispatch in `server/grpc.rs`, a type in [`rpc::Rpcs`], and made in
//!    `server.rs`.
//!
//! All three wires, reflection, the OpenAPI document and the matrix of refusals in `tests/it` have it from then on. Values
//! for its examples are in `edge/openapi/example.rs`; the suite sends them to a server.
//!
//! # Adding a table
//!
//! 1. Write `store/migrations/sqlite/NNNN_name.sql` (STRICT) and `store/migrations/postgres/NNNN_name.sql`
//!    (`COLLATE "C"` on text). Ids are text, times are microseconds, sets are rows of a table of their own. A migration that
//!    was released is never changed.
//! 2. List the pair in `store/db/migrations.rs`. A test compares what the two series end in.
//! 3. Put the verbs on [`store::Store`] in a file of the noun's name: `find_*` gives an `Option`, `list_*` a page, and each
//!    statement is one text for both engines. `on_both_engines!` in the store's tests runs a test of them on each.
//! 4. What belongs to a project goes with it: a deleted project is emptied by the statements of `store/project_data.rs`, and a
//!    look-up of a credential joins `projects` and passes over those that were deleted. A test asks about each new table.

pub mod auth;
pub mod cli;
pub mod config;
pub mod domain;
pub mod edge;
pub mod intake;
pub mod net;
pub mod oauth;
pub mod proto;
pub mod rpc;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
