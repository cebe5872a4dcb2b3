// Drives the page in Chromium; ends with an error at the first thing that is not as it should be.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
const page = await context.newPage();
page.setDefaultTimeout(20_000);
const complaints = [];
let isDown = false;
page.on("pageerror", (error) => complaints.push(`error: ${error}`));
page.on("console", (message) => {
  if (message.type() === "error" && !isDown) complaints.push(message.text());
});
const elsewhere = [];
page.on("request", (request) => {
  const url = request.url();
  if (!url.startsWith(new URL(process.env.ADDRESS).origin) && !url.startsWith("data:")) elsewhere.push(url);
});
const shot = (name) => page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
const card = (title) => page.locator(".card", { hasText: title });
const column = (status) => page.locator(`[data-column="${status}"]`);
const inColumn = async (title, status) => {
  await column(status).locator(".card", { hasText: title }).waitFor();
};

// Without a sign-in: the proxies, and how to sign in.
const origin = new URL(process.env.ADDRESS).origin;
await page.goto(origin);
await page.getByText("tidemill open").waitFor();
complaints.length = 0;
assert.equal((await page.goto(`${origin}/list`)).status(), 401);
complaints.length = 0; // the browser tells of the 401

// A sign-in works once.
await page.goto(process.env.ADDRESS);
await page.locator("#board").waitFor();
await page.locator("#state.good").waitFor();
assert.equal(new URL(page.url()).search, "");
const second = await browser.newContext();
const stranger = await second.newPage();
assert.equal((await stranger.goto(process.env.ADDRESS)).status(), 403);
await second.close();

// Create.
for (const [title, priority] of [
  ["Pool buffers per worker", "high"], ["Measure the relay", "normal"],
  ["Answer the review of the memory crate", "critical"], ["Write the guide", "low"],
]) {
  await page.fill("#new-title", title);
  await page.locator("form.bar select").selectOption(priority);
  await page.keyboard.press("Enter");
  await inColumn(title, "todo");
}
assert.equal(await page.inputValue("#new-title"), "");
assert.match(await column("todo").locator(".card").first().textContent(), /Answer the review/);

// Move by drag.
await card("Measure the relay").dragTo(column("doing"));
await inColumn("Measure the relay", "doing");

// Move by keys: the card keeps the focus.
await card("Write the guide").focus();
await page.keyboard.press("Shift+ArrowRight");
await inColumn("Write the guide", "doing");
await page.waitForFunction(() => document.activeElement?.matches(".card")
  && document.activeElement.textContent.includes("Write the guide"));
await page.keyboard.press("Shift+ArrowRight");
await inColumn("Write the guide", "blocked");
await page.keyboard.press("ArrowLeft");
await page.waitForFunction(() => document.activeElement?.textContent.includes("Measure the relay"));
await shot("board-light");
await page.emulateMedia({ colorScheme: "dark" });
await shot("board-dark");

// Live: what another page does is seen here.
const other = await context.newPage();
await other.goto(`${origin}/`);
await other.fill("#new-title", "made in another tab");
await other.keyboard.press("Enter");
await inColumn("made in another tab", "todo");
await other.close();

// Edit, with the keyboard into the task.
await card("Pool buffers").focus();
await page.keyboard.press("Enter");
await page.locator("#edit form").first().waitFor();
await page.fill("[name=body]", "One pool for each worker, <script>alert(1)</script> and 64 KiB buffers.");
await page.fill("[name=labels]", "memory, relay");
await page.fill("[name=assignee]", "ada");
await page.getByRole("button", { name: "Save" }).click();
await page.locator(".history li", { hasText: "assignee: ada" }).waitFor();
await page.fill("[name=text]", "Measured: 12 % fewer misses.");
await page.getByRole("button", { name: "Comment" }).click();
await page.locator(".comment", { hasText: "12 %" }).waitFor();

// Somebody else changes it while it is edited: nothing typed is lost, and both are told.
await page.fill("[name=title]", "Pool buffers per worker and size");
const answer = await page.evaluate(async (path) => {
  const url = `/api/v1${path}`;
  const response = await fetch(url, {
    method: "PATCH", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ title: "Pool buffers per core" }),
  });
  return response.status;
}, new URL(page.url()).pathname);
assert.equal(answer, 200);
await page.locator("#newer:not([hidden])").waitFor();
assert.equal(await page.inputValue("[name=title]"), "Pool buffers per worker and size");
await page.getByRole("button", { name: "Save" }).click();
await page.locator(".notice", { hasText: "Pool buffers per core" }).waitFor();
complaints.length = 0; // the browser tells of the 412
await shot("task-dark");
await page.getByRole("button", { name: "Save" }).click();
await page.locator(".history li", { hasText: "Pool buffers per worker and size" }).waitFor();

// Search while typing, and filters.
await page.goto(`${origin}/`);
await page.keyboard.press("/");
await page.waitForURL(/\/list/);
await page.locator("#filter-q").waitFor();
await page.locator("#filter-q").pressSequentially("64 kib buf", { delay: 30 });
await page.locator("#results tr", { hasText: "Pool buffers" }).waitFor();
await page.locator("#results tbody tr").nth(0).waitFor();
await page.waitForFunction(() => document.querySelectorAll("#results tbody tr").length === 1);
await page.locator(".snippet b").first().waitFor();
await shot("search-dark");
await page.fill("#filter-q", "");
await page.locator("#filters [name=status]").selectOption("blocked");
await page.waitForFunction(() => document.querySelectorAll("#results tbody tr").length === 1);
await page.locator("#results tr", { hasText: "Write the guide" }).waitFor();
await page.locator("#filters [name=status]").selectOption("");

// A conflict: both values are shown, one is taken.
await page.locator("#results tr", { hasText: "conflict" }).locator("a").click();
await page.locator("#conflicts").waitFor();
for (const title of ["named by ada", "named by ben"]) {
  await page.locator(".side", { hasText: title }).waitFor();
}
await page.emulateMedia({ colorScheme: "light" });
await shot("conflict-light");
await page.locator(".side", { hasText: "named by ada" }).getByRole("button").click();
await page.locator("#conflicts").waitFor({ state: "detached" });
await page.waitForFunction(() => document.querySelector("[name=title]").value === "named by ada");

// On a phone: no sideways scrolling of the page, and a menu instead of dragging.
await page.setViewportSize({ width: 375, height: 740 });
await page.goto(`${origin}/`);
await page.locator("#state.good").waitFor();
for (const path of ["/", "/list", new URL(await card("Pool buffers").locator("a").getAttribute("href"), origin).pathname]) {
  await page.goto(origin + path);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= 375, `${path} is ${width} wide`);
  await shot(`phone${path.split("/")[1] ? `-${path.split("/")[1]}` : ""}`);
}
await page.goto(`${origin}/`);
await card("made in another tab").locator("select.move").selectOption("cancelled");
await inColumn("made in another tab", "cancelled");
await page.setViewportSize({ width: 1280, height: 800 });

// The node goes away and comes back: the page says so and goes on by itself.
await page.goto(`${origin}/proxies`);
await page.locator("#state.good").waitFor();
await shot("proxies-light");
await page.goto(`${origin}/`);
await page.locator("#state.good").waitFor();
assert.deepEqual(complaints, []);
isDown = true;
console.log("restart the node");
await page.locator("#state.bad").waitFor({ timeout: 60_000 });
console.log("seen that it is gone");
await page.locator("#state.good").waitFor({ timeout: 60_000 });
console.log("live again");
await inColumn("made after the restart", "todo");
assert.deepEqual(elsewhere, [], "everything comes from the node");
await browser.close();
console.log("good");
