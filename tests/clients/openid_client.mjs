// openid-client as it comes, in front of people with a browser. `browser.mjs` stands before this.
//
// Arguments beside: "issuer", "sub" (who signs in), "clients" ([{"id", "secret"?, "method"}]), "machine" (the same, one).
import * as client from "openid-client";

const METHODS = { client_secret_basic: client.ClientSecretBasic, client_secret_post: client.ClientSecretPost, none: client.None };

async function discover(registered) {
  const authentication = METHODS[registered.method](registered.secret);
  // Both are for this one case: plain HTTP is for tests, and over it signatures are looked at too.
  const execute = [client.allowInsecureRequests, client.enableNonRepudiationChecks];
  return client.discovery(new URL(given.issuer), registered.id, registered.secret, authentication, { execute });
}

/** Begins to ask: the address to send people to, and what the answer is held against. */
async function ask(config, app, more = {}) {
  const verifier = client.randomPKCECodeVerifier();
  const expected = { pkceCodeVerifier: verifier, expectedState: client.randomState(), expectedNonce: client.randomNonce() };
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: `${app.origin}/callback`,
    scope: "openid profile email offline_access read:users",
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state: expected.expectedState,
    nonce: expected.expectedNonce,
    // Whoever agreed once would not be asked again.
    prompt: "consent",
    ...more,
  });
  return { url: url.href, expected };
}

async function tokensFor(config) {
  const app = await site();
  const { url, expected } = await ask(config, app);
  const page = await newPage();
  await page.goto(url);
  await signIn(page);
  await decide(page, "Allow");
  const { url: back } = await app.visited("/callback");
  await page.context().close();
  return client.authorizationCodeGrant(config, back, { ...expected, idTokenExpected: true });
}

const everyKindOfClient = given.clients.map((registered) => async function everyKindOfClient() {
  const config = await discover(registered);
  const tokens = await tokensFor(config);
  const claims = tokens.claims();
  assert.equal(claims.sub, given.sub);
  assert.equal(tokens.token_type, "bearer");
  assert.ok(tokens.expiresIn() > 0);
  const told = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
  assert.deepEqual([told.preferred_username, told.email], ["ada", "ada@example.com"]);

  const fresh = await client.refreshTokenGrant(config, tokens.refresh_token);
  assert.notEqual(fresh.refresh_token, tokens.refresh_token);
  assert.equal(fresh.claims().sub, claims.sub);
  assert.equal(fresh.claims().auth_time, claims.auth_time);
  const narrow = await client.refreshTokenGrant(config, fresh.refresh_token, { scope: "read:users" });
  assert.equal(narrow.scope, "read:users");
  assert.equal((await client.fetchProtectedResource(
    config, narrow.access_token, new URL("/v1/users/me", given.issuer), "GET")).status, 200);

  if (registered.secret) {
    const known = await client.tokenIntrospection(config, narrow.access_token);
    assert.deepEqual([known.active, known.sub, known.client_id, known.scope],
      [true, given.sub, registered.id, "read:users"]);
    assert.equal((await client.tokenIntrospection(config, narrow.refresh_token)).active, true);
  }
  await client.tokenRevocation(config, narrow.access_token);
  await client.tokenRevocation(config, narrow.refresh_token, { token_type_hint: "refresh_token" });
  await assert.rejects(client.refreshTokenGrant(config, narrow.refresh_token), { error: "invalid_grant", status: 400 });
  await assert.rejects(client.fetchUserInfo(config, narrow.access_token, claims.sub), { status: 401 });
});

async function aClientForItself() {
  for (const method of ["client_secret_basic", "client_secret_post"]) {
    const config = await discover({ ...given.machine, method });
    const tokens = await client.clientCredentialsGrant(config, { scope: "read:users" });
    assert.equal(tokens.scope, "read:users");
    assert.equal((await client.tokenIntrospection(config, tokens.access_token)).sub, given.machine.id);
    await client.tokenRevocation(config, tokens.access_token);
    assert.equal((await client.tokenIntrospection(config, tokens.access_token)).active, false);
    const wrong = await discover({ ...given.machine, method, secret: `${given.machine.secret}x` });
    const refused = method === "client_secret_basic"
      ? { code: "OAUTH_WWW_AUTHENTICATE_CHALLENGE", status: 401 }
      : { error: "invalid_client", status: 401 };
    await assert.rejects(client.clientCredentialsGrant(wrong), refused);
    await assert.rejects(client.clientCredentialsGrant(config, { scope: "admin" }), { error: "invalid_scope" });
  }
}

async function aPostedForm() {
  const config = await discover(given.clients[0]);
  const app = await site();
  const { url, expected } = await ask(config, app, { response_mode: "form_post" });
  const page = await newPage();
  await page.goto(url);
  await signIn(page);
  await decide(page, "Allow");
  const { method, headers, body } = await app.visited("/callback");
  assert.equal(method, "POST");
  const back = new Request(`${app.origin}/callback`, { method, headers: { "content-type": headers["content-type"] }, body });
  const tokens = await client.authorizationCodeGrant(config, back, { ...expected, idTokenExpected: true });
  assert.equal(tokens.claims().sub, given.sub);
}

async function aRefusal() {
  const config = await discover(given.clients[0]);
  for (const response_mode of ["query", "form_post"]) {
    const app = await site();
    const { url, expected } = await ask(config, app, { response_mode });
    const page = await newPage();
    await page.goto(url);
    await signIn(page, "not-this-snark-either");
    await page.getByRole("alert").waitFor();
    await signIn(page);
    await decide(page, "Deny");
    const { url: at, method, headers, body } = await app.visited("/callback");
    const back = method === "GET" ? at
      : new Request(at, { method, headers: { "content-type": headers["content-type"] }, body });
    await assert.rejects(client.authorizationCodeGrant(config, back, expected),
      { code: "OAUTH_AUTHORIZATION_RESPONSE_ERROR", error: "access_denied" });
  }
}

async function whatIsNotOurs() {
  const config = await discover(given.clients[0]);
  const app = await site();
  const { url, expected } = await ask(config, app);
  const page = await newPage();
  await page.goto(url);
  await signIn(page);
  await decide(page, "Allow");
  const { url: back } = await app.visited("/callback");
  const grant = (at, more) => client.authorizationCodeGrant(config, new URL(at), { ...expected, ...more });
  const names = (word) => (error) => error.code === "OAUTH_INVALID_RESPONSE" && error.cause.message.includes(word);
  await assert.rejects(grant(back, { expectedState: client.randomState() }), names('"state"'));
  const elsewhere = new URL(back);
  elsewhere.searchParams.set("iss", "https://other.example");
  await assert.rejects(grant(elsewhere), names('"iss"'));
  const nowhere = new URL(back);
  nowhere.searchParams.delete("iss");
  await assert.rejects(grant(nowhere), names('"iss"'));
  await assert.rejects(grant(back, { pkceCodeVerifier: client.randomPKCECodeVerifier() }), { error: "invalid_grant" });
}

async function whoeverIsKnown() {
  const config = await discover(given.clients[0]);
  const app = await site();
  const page = await newPage();
  const nobody = await ask(config, app, { prompt: "none" });
  await page.goto(nobody.url);
  await assert.rejects(client.authorizationCodeGrant(config, (await app.visited("/callback")).url, nobody.expected),
    { error: "login_required" });
  const first = await ask(config, app);
  await page.goto(first.url);
  await signIn(page);
  await decide(page, "Allow");
  await app.visited("/callback");
  // Signed in and agreed already.
  const second = await ask(config, app, { prompt: "none", max_age: "3600" });
  await page.goto(second.url);
  const { url: back } = await app.visited("/callback");
  const tokens = await client.authorizationCodeGrant(config, back, { ...second.expected, maxAge: 3600 });
  assert.equal(tokens.claims().sub, given.sub);
  const third = await ask(config, app, { prompt: "login consent", max_age: "0" });
  await page.goto(third.url);
  await signIn(page);
  await decide(page, "Allow");
  const { url: anew } = await app.visited("/callback");
  const newer = await client.authorizationCodeGrant(config, anew, { ...third.expected, maxAge: 60 });
  assert.ok(newer.claims().auth_time >= tokens.claims().auth_time);
}

await run([...everyKindOfClient, aClientForItself, aPostedForm, aRefusal, whatIsNotOurs, whoeverIsKnown]);
