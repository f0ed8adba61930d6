// What browsers do with the pages of the authorization server, and what they keep others from doing. `browser.mjs` stands
// before this.
//
// Arguments beside: "issuer", "sub" (who signs in), "web" ({"id"}, a confidential client), "spa" ({"id"}, a public one whose
// scripts redeem codes), "native" ({"id", "redirectUri"}, one with a scheme of its own), "library" (oauth4webapi, as a file).
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

const verifier = randomBytes(32).toString("base64url");

function link(app, more = {}, clientId = given.web.id) {
  const url = new URL("/oauth/authorize", given.issuer);
  url.search = new URLSearchParams({
    response_type: "code",
    client_id: clientId,
    redirect_uri: `${app.origin}/callback`,
    scope: "openid read:users",
    state: "a state",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    // Whoever agreed once would not be asked again.
    prompt: "consent",
    ...more,
  });
  return url.href;
}

/** Remembers what the browser held back because a policy said so. */
function violations(page) {
  const seen = [];
  const look = (message) => /Content.Security.Policy|frame-ancestors|X-Frame-Options/i.test(message.text()) && seen.push(message.text());
  page.on("console", look);
  return seen;
}

async function cookiesAreKeptAndHidden() {
  const app = await site();
  const page = await newPage();
  const held = violations(page);
  await page.goto(link(app));
  await signIn(page);
  await page.getByRole("button", { name: "Allow", exact: true }).waitFor();
  const cookies = await page.context().cookies(given.issuer);
  const kept = cookies.map(({ name, secure, httpOnly, sameSite, path }) => [name, secure, httpOnly, sameSite, path]);
  assert.deepEqual(kept.toSorted(), [
    ["__Host-gatepost-form", true, true, "Lax", "/"],
    ["__Host-gatepost-session", true, true, "Lax", "/"],
  ]);
  assert.equal(await page.evaluate(() => document.cookie), "");
  await decide(page, "Allow");
  const { url, headers } = await app.visited("/callback");
  assert.ok(url.searchParams.get("code").startsWith("ac_live_"));
  assert.deepEqual([url.searchParams.get("state"), url.searchParams.get("iss")], ["a state", given.issuer]);
  assert.equal(headers.referer, undefined);
  assert.deepEqual(held, []);
}

async function aClientMaySendPeopleOn() {
  const home = await site(() => "<!doctype html><title>Home</title>");
  const app = await site(() => ({ status: 302, headers: { location: `${home.origin}/` }, html: "" }));
  const page = await newPage();
  const held = violations(page);
  await page.goto(link(app));
  await signIn(page);
  await decide(page, "Allow");
  await home.visited("/");
  assert.deepEqual(held, []);
}

async function anAppIsOpened() {
  const page = await newPage();
  const held = violations(page);
  const left = new Promise((resolve) => page.on("request", (request) => request.url().startsWith(given.native.redirectUri) && resolve(request.url())));
  await page.goto(link({ origin: "" }, { redirect_uri: given.native.redirectUri }, given.native.id));
  await signIn(page);
  await decide(page, "Allow");
  const session = await Promise.race([left, page.waitForTimeout(5_000).then(() => "nowhere")]);
  assert.ok(session.includes("code=ac_live_"), session);
  assert.deepEqual(held, []);
}

async function aPopupTellsWhoOpenedIt() {
  const opener = "<!doctype html><title>The shop</title><script>addEventListener('message', (e) => document.title = e.data)</script>";
  const callback = "<!doctype html><script>opener.postMessage(location.search, location.origin); close()</script>";
  const app = await site(({ url }) => (url.pathname === "/callback" ? callback : opener));
  const page = await newPage();
  await page.goto(app.origin);
  const opened = page.waitForEvent("popup");
  await page.evaluate((url) => { window.open(url, "sign-in", "popup,width=480,height=640"); }, link(app));
  const popup = await opened;
  await signIn(popup);
  await decide(popup, "Allow");
  await page.waitForFunction(() => document.title.includes("code="));
}

async function nobodyElseFramesThePages() {
  const page = await newPage();
  const app = await site(() => `<!doctype html><title>Evil</title><iframe src="${link(app).replaceAll("&", "&amp;")}"></iframe>`);
  const direct = await page.context().newPage();
  await direct.goto(link(app));
  await signIn(direct);
  await direct.getByRole("button", { name: "Allow", exact: true }).waitFor();
  const held = violations(page);
  await page.goto(app.origin);
  for (const patience = Date.now() + PATIENCE; held.length === 0 && Date.now() < patience; ) await page.waitForTimeout(50);
  assert.ok(held.some((text) => text.includes("frame-ancestors")), held.join());
  await page.waitForTimeout(50);
  assert.match(page.frames()[1].url(), /^chrome-error:/);
}

async function nobodyElseReadsWithCookies() {
  const app = await site();
  const page = await newPage();
  await page.goto(link(app));
  await signIn(page);
  await page.goto(app.origin);
  for (const [path, method] of [
    ["/oauth/token", "POST"], ["/oauth/userinfo", "GET"], ["/oauth/introspect", "POST"], ["/oauth/revoke", "POST"],
    ["/oauth/authorize", "GET"], ["/oauth/sign-in", "POST"], ["/oauth/consent", "POST"],
    ["/.well-known/openid-configuration", "GET"], ["/v1/users/me", "GET"],
  ]) {
    const read = await page.evaluate(async ([url, method]) => {
      const body = method === "POST" ? new URLSearchParams({ grant_type: "client_credentials" }) : undefined;
      return fetch(url, { method, body, credentials: "include" }).then((answer) => answer.status, (error) => error.name);
    }, [given.issuer + path, method]);
    assert.equal(read, "TypeError", path);
  }
  // Nor do their forms decide anything with the cookies of whoever is signed in.
  for (const path of ["/oauth/consent", "/oauth/sign-in"]) {
    await page.goto(app.origin);
    await page.evaluate(([action, request]) => {
      const form = document.body.appendChild(document.createElement("form"));
      Object.assign(form, { method: "post", action });
      for (const [name, value] of Object.entries({ request, decision: "allow", csrf: "x", login: "ada", password: "x" })) {
        form.appendChild(Object.assign(document.createElement("input"), { name, value }));
      }
      form.submit();
    }, [given.issuer + path, new URL(link(app)).search.slice(1)]);
    await page.getByText("The form is not one of ours").waitFor();
  }
}

async function aPageOfScriptsRedeemsItsCode() {
  const library = readFileSync(given.library, "utf8");
  const answer = ({ url }) => (url.pathname === "/library.js"
    ? { headers: { "content-type": "text/javascript" }, html: library }
    : "<!doctype html><title>The app</title>");
  const app = await site(answer);
  const page = await newPage();
  await page.goto(link(app, {}, given.spa.id));
  await signIn(page);
  await decide(page, "Allow");
  await page.waitForURL((url) => url.pathname === "/callback");
  const redeemed = await page.evaluate(async ({ issuer, clientId, verifier }) => {
    const oauth = await import("/library.js");
    const options = { [oauth.allowInsecureRequests]: true };
    const url = new URL(issuer);
    const server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, options));
    const client = { client_id: clientId };
    const redirectUri = location.origin + location.pathname;
    const answer = oauth.validateAuthResponse(server, client, new URL(location.href), "a state");
    const redeem = async (code) => oauth.authorizationCodeGrantRequest(server, client, oauth.None(), code, redirectUri, verifier, options);
    const tokens = await oauth.processAuthorizationCodeResponse(server, client, await redeem(answer), {
      requireIdToken: true, [oauth.jweDecrypt]: undefined, expectedNonce: oauth.expectNoNonce,
    });
    const subject = oauth.getValidatedIdTokenClaims(tokens).sub;
    const who = await oauth.processUserInfoResponse(server, client, subject, await oauth.userInfoRequest(server, client, tokens.access_token, options));
    const fresh = await oauth.processRefreshTokenResponse(server, client,
      await oauth.refreshTokenGrantRequest(server, client, oauth.None(), tokens.refresh_token, options));
    await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, oauth.None(), fresh.refresh_token, options));
    // What is wrong can be read too.
    const again = await (await redeem(answer)).json();
    const nobody = await fetch(server.userinfo_endpoint, { headers: { authorization: "Bearer x" } });
    return { subject, who: who.sub, again: again.error, nobody: [nobody.status, nobody.headers.get("www-authenticate")] };
  }, { issuer: given.issuer, clientId: given.spa.id, verifier });
  assert.deepEqual([redeemed.subject, redeemed.who, redeemed.again], [given.sub, given.sub, "invalid_grant"]);
  assert.equal(redeemed.nobody[0], 401);
  assert.match(redeemed.nobody[1], /error="invalid_token"/);
}

async function pagesDoWithoutScripts() {
  for (const response_mode of ["query", "form_post"]) {
    const app = await site();
    const page = await newPage({ javaScriptEnabled: false });
    await page.goto(link(app, { response_mode }));
    await signIn(page, "not-this-snark-either");
    await page.getByRole("alert").waitFor();
    assert.equal(await page.getByLabel("Handle or email address").inputValue(), given.login);
    await signIn(page);
    await decide(page, "Allow");
    if (response_mode === "form_post") {
      await page.getByRole("button", { name: "Continue" }).click();
    }
    const { method, url, body } = await app.visited("/callback");
    const answer = response_mode === "query" ? url.searchParams : new URLSearchParams(body);
    assert.equal(method, response_mode === "query" ? "GET" : "POST");
    assert.deepEqual([...answer.keys()].toSorted(), ["code", "iss", "state"]);
    assert.deepEqual([answer.get("state"), answer.get("iss")], ["a state", given.issuer]);
  }
}

async function somebodyElseSignsIn() {
  const app = await site();
  const page = await newPage();
  await page.goto(link(app));
  await signIn(page);
  await decide(page, "Use another account");
  await signIn(page);
  await decide(page, "Deny");
  assert.equal((await app.visited("/callback")).url.searchParams.get("error"), "access_denied");
}

await run([
  cookiesAreKeptAndHidden, aClientMaySendPeopleOn, anAppIsOpened, aPopupTellsWhoOpenedIt, nobodyElseFramesThePages,
  nobodyElseReadsWithCookies, aPageOfScriptsRedeemsItsCode, pagesDoWithoutScripts, somebodyElseSignsIn,
]);
