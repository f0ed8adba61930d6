// What the modules that drive a browser begin with: Debian's Chromium by playwright-core, and sites on this machine for it
// to visit. The one argument is JSON: {"chromium": its program, "login", "password", ...}.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";

import { chromium } from "playwright-core";

const PATIENCE = 60_000;
const given = JSON.parse(process.argv[2]);
const browser = await chromium.launch({ executablePath: given.chromium });

/** A page of somebody whose browser has never been anywhere. */
async function newPage(options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  return context.newPage();
}

/** Fills in the page that asks who somebody is. */
async function signIn(page, password = given.password) {
  await page.getByLabel("Handle or email address").fill(given.login);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Says what somebody decides on the page that asks whether they agree. */
async function decide(page, decision) {
  await page.getByRole("button", { name: decision, exact: true }).click();
}

/**
 * A site on this machine. `answer(request)` gives the HTML of a page; a request is {method, url, headers, body}. Visits are
 * remembered; `visited(path)` waits for the next one of a path that nobody has waited for yet.
 */
async function site(answer = () => "<!doctype html><title>The app</title><h1>The app</h1>") {
  const visits = [];
  let wake = () => {};
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const visit = { method: request.method, url: new URL(request.url, origin), headers: request.headers, body };
    visits.push(visit);
    const answered = answer(visit);
    const { status = 200, headers = {}, html = answered } = typeof answered === "string" ? {} : answered;
    response.writeHead(status, { "content-type": "text/html; charset=utf-8", ...headers }).end(html);
    wake();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // Another site than `localhost` to a browser, where another port would be the same site.
  const origin = `http://127.0.0.1:${server.address().port}`;
  const visited = async (path) => {
    for (;;) {
      const at = visits.findIndex((visit) => visit.url.pathname === path);
      if (at >= 0) return visits.splice(at, 1)[0];
      await new Promise((resolve, reject) => {
        wake = resolve;
        setTimeout(reject, PATIENCE, new Error(`nobody came to ${path}`)).unref();
      });
    }
  };
  return { origin, visited, close: () => server.closeAllConnections() ?? server.close() };
}

/** What somebody would tell who looks at the browser. */
async function seen() {
  const pages = browser.contexts().flatMap((context) => context.pages()).slice(-2);
  return Promise.all(pages.map(async (page) => `${page.url()}: ${await page.locator("body").innerText({ timeout: 1_000 }).catch(String)}`));
}

/** What a module does; whatever fails in it fails the module. */
async function run(cases) {
  try {
    for (const one of cases) {
      await one().catch(async (error) => {
        throw new Error(`in ${one.name}, in front of ${await seen()}`, { cause: error });
      });
    }
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify({ passed: cases.length }));
  process.exit(0);
}

