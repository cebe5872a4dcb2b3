// Draws the node from /metrics every two seconds. Knows no other endpoint and holds no token.
"use strict";

const PERIOD_MS = 2000;
const HISTORY_MAX = 60; // two minutes of rates

const histories = new Map(); // proxy -> rates of new connections, newest last
let previous = null; // { at, samples }

async function poll() {
  try {
    const response = await fetch("/metrics", { signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error(`/metrics answers ${response.status}`);
    const current = { at: performance.now(), samples: parse(await response.text()) };
    draw(current);
    previous = current;
    setState("good", "running");
    document.getElementById("age").textContent = `read at ${new Date().toLocaleTimeString()}`;
    document.getElementById("proxies").classList.remove("stale");
  } catch (error) {
    previous = null; // a restarted node counts from zero again
    setState("bad", "the node does not answer; trying again");
    document.getElementById("proxies").classList.add("stale");
  }
  setTimeout(poll, PERIOD_MS);
}

// Returns the samples of a Prometheus text: [{ name, labels, value }].
function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, key, value] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[key] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    }
    samples.push({ name: match[1], labels, value: Number(match[3].replace("Inf", "Infinity")) });
  }
  return samples;
}

function draw(current) {
  const build = select(current, "tidemill_build_info", {})[0];
  if (build) {
    const { version, commit } = build.labels;
    const text = commit === "unknown" ? version : `${version} (${commit.slice(0, 12)})`;
    document.getElementById("build").textContent = text;
  }
  const names = select(current, "tidemill_proxy_connections", {}).map((s) => s.labels.proxy).sort();
  document.getElementById("empty").hidden = names.length > 0;
  document.getElementById("proxies").replaceChildren(...names.map((name) => card(current, name)));
  for (const name of histories.keys()) if (!names.includes(name)) histories.delete(name);
}

function card(current, proxy) {
  const history = histories.get(proxy) ?? [];
  const accepted = rate(current, "tidemill_proxy_connections_total", { proxy });
  if (accepted !== null) history.push(accepted);
  histories.set(proxy, history.slice(-HISTORY_MAX));
  const rejected = sum(current, "tidemill_proxy_rejected_total", { proxy });
  const bytes = (direction) => perSecond(
    rate(current, "tidemill_proxy_bytes_total", { proxy, direction }), formatBytes);
  const facts = element("dl", {}, [
    fact("open", format(sum(current, "tidemill_proxy_connections", { proxy }))),
    fact("new", perSecond(accepted, format)),
    fact("from clients", bytes("upstream")),
    fact("to clients", bytes("downstream")),
    fact("rejected", format(rejected), rejected > 0 ? "bad" : ""),
  ]);
  return element("article", {}, [
    element("h2", {}, [proxy]), facts, line(histories.get(proxy)), backends(current, proxy),
  ]);
}

function backends(current, proxy) {
  const heads = ["backend", "open", "new", "p99", "failed"];
  const rows = select(current, "tidemill_proxy_backend_up", { proxy }).map((sample) => {
    const labels = { proxy, backend: sample.labels.backend };
    const isUp = sample.value === 1;
    const word = element("span", { class: "word" }, [isUp ? "up " : "down "]);
    const state = element("span", { class: isUp ? "up" : "down" }, [isUp ? "▲ " : "▼ ", word]);
    const cells = [
      format(sum(current, "tidemill_proxy_backend_connections", labels)),
      perSecond(rate(current, "tidemill_proxy_backend_connections_total", labels), format),
      formatSeconds(quantile(current, "tidemill_proxy_connect_seconds", labels, 0.99)),
      format(sum(current, "tidemill_proxy_connect_failures_total", labels)),
    ].map((text) => element("td", {}, [text]));
    return element("tr", {}, [element("td", {}, [state, labels.backend]), ...cells]);
  });
  const head = element("tr", {}, heads.map((text) => {
    const title = text === "p99" ? "99th percentile of the time to connect" : "";
    return element("th", { scope: "col", title }, [text]);
  }));
  const table = element("table", {}, [element("thead", {}, [head]), element("tbody", {}, rows)]);
  return element("div", { class: "wide" }, [table]);
}

// Returns new connections per second over the last two minutes as a line.
function line(rates) {
  const top = Math.max(1, ...rates);
  const points = rates.map((value, index) => {
    const x = (HISTORY_MAX - rates.length + index) * (100 / (HISTORY_MAX - 1));
    return `${x.toFixed(2)},${(29 - (value / top) * 28).toFixed(2)}`;
  });
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 100 30");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "New connections per second over the last two minutes");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
  svg.append(path);
  return svg;
}

function select(reading, name, labels) {
  const wanted = Object.entries(labels);
  return reading.samples.filter(
    (sample) => sample.name === name && wanted.every(([key, value]) => sample.labels[key] === value));
}

function sum(reading, name, labels) {
  return select(reading, name, labels).reduce((total, sample) => total + sample.value, 0);
}

// Returns the increase per second since the last reading; null without one.
function rate(current, name, labels) {
  if (previous === null) return null;
  const increase = sum(current, name, labels) - sum(previous, name, labels);
  return Math.max(0, increase) / ((current.at - previous.at) / 1000);
}

// Returns the upper bound of the bucket that holds the quantile, over all time; null when empty.
function quantile(current, name, labels, q) {
  const buckets = select(current, `${name}_bucket`, labels)
    .map((sample) => [Number(sample.labels.le.replace("Inf", "Infinity")), sample.value])
    .sort((a, b) => a[0] - b[0]);
  const count = buckets.length > 0 ? buckets[buckets.length - 1][1] : 0;
  return count > 0 ? buckets.find(([, cumulative]) => cumulative >= q * count)[0] : null;
}

function fact(name, text, kind = "") {
  return element("div", {}, [element("dt", {}, [name]), element("dd", { class: kind }, [text])]);
}

function element(tag, attributes, children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (value) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function perSecond(value, formatted) {
  return value === null ? "–" : `${formatted(value)}/s`;
}

function format(value) {
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
}

function formatBytes(value) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (value >= 1024 && unit + 1 < units.length) {
    value /= 1024;
    unit += 1;
  }
  return `${format(value)} ${units[unit]}`;
}

function formatSeconds(value) {
  if (value === null) return "–";
  if (value === Infinity) return "very long";
  if (value < 0.001) return `≤ ${format(value * 1e6)} µs`;
  return value < 1 ? `≤ ${format(value * 1e3)} ms` : `≤ ${format(value)} s`;
}

function setState(kind, text) {
  const state = document.getElementById("state");
  state.className = kind;
  if (state.textContent !== text) state.textContent = text;
}

poll();
