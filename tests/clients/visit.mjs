// Somebody follows a client's link, signs in and decides. `browser.mjs` stands before this.
//
// Arguments beside: "url", "decision" ("Allow", "Deny"). Prints {"url", "text"} of the page that they end up on.
// A server with TLS has a certificate of its own making.
const page = await newPage({ ignoreHTTPSErrors: true });
try {
  await page.goto(given.url);
  const server = new URL(await page.evaluate(() => document.baseURI)).origin;
  await signIn(page);
  await decide(page, given.decision);
  await page.waitForURL((url) => url.origin !== server);
  console.log(JSON.stringify({ url: page.url(), text: await page.locator("body").innerText() }));
} finally {
  await browser.close();
}
