// Board, list and task: moving cards by drag and by keys, and staying live.
// Everything drawn comes from the server as HTML through htmx; this script never builds markup.
"use strict";

const STATUSES = ["todo", "doing", "blocked", "done", "cancelled"];
const RETRY_MS = 2000;
const SETTLE_MS = 150; // events within this time are one refresh

// --- live -----------------------------------------------------------------------------------

let source = null;
let settle = null;
let missed = false; // events may have passed while there was no connection

function connect() {
  source = new EventSource("/api/v1/events?kinds=tasks");
  source.onopen = () => {
    setState("good", "live");
    if (missed) refresh();
    missed = false;
  };
  source.addEventListener("tasks", refresh);
  source.onerror = () => {
    missed = true;
    setState("bad", "the node does not answer; trying again");
    // The browser tries again by itself unless the answer was an error.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
  };
}

function refresh() {
  clearTimeout(settle);
  settle = setTimeout(() => {
    if (dragged === null) htmx.trigger(document.body, "tasks");
    else refresh(); // not under the hand that drags
  }, SETTLE_MS);
}

function setState(kind, text) {
  const state = document.getElementById("state");
  state.className = kind;
  if (state.textContent !== text) state.textContent = text;
}

function say(text) {
  document.getElementById("said").textContent = text;
}

// --- moving ---------------------------------------------------------------------------------

let dragged = null; // the card under the pointer
let moves = 0; // rises when a move begins and when it is answered

function move(card, status) {
  if (!card || card.dataset.status === status) return;
  const title = card.querySelector("a").textContent;
  const column = board().querySelector(`[data-column="${status}"] ol`);
  column.prepend(card); // seen at once; the answer is the truth
  card.dataset.status = status;
  focus(card.id);
  moves += 1;
  send(`/tasks/${card.dataset.id}/move`, { status })
    .then(() => say(`${title} is ${status} now`), (error) => say(error.message))
    .finally(() => {
      moves += 1;
      htmx.trigger(document.body, "tasks");
    });
}

async function send(path, values) {
  const response = await fetch(path, { method: "POST", body: new URLSearchParams(values) });
  if (!response.ok) throw new Error(`the node answers ${response.status}`);
}

function board() {
  return document.getElementById("board");
}

function focus(id) {
  document.getElementById(id)?.focus();
}

document.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.("[data-id]");
  if (!dragged) return;
  dragged.classList.add("dragged");
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.dataset.id);
});

document.addEventListener("dragover", (event) => {
  const column = event.target.closest?.("[data-column]");
  if (!dragged || !column) return;
  event.preventDefault();
  mark(column);
});

document.addEventListener("drop", (event) => {
  const column = event.target.closest?.("[data-column]");
  if (!dragged || !column) return;
  event.preventDefault();
  const card = dragged;
  dragged = null;
  mark(null);
  move(card, column.dataset.column);
});

document.addEventListener("dragend", () => {
  dragged?.classList.remove("dragged");
  dragged = null;
  mark(null);
});

function mark(column) {
  for (const other of document.querySelectorAll("[data-column].over")) {
    if (other !== column) other.classList.remove("over");
  }
  column?.classList.add("over");
}

// A card's menu: the way to move it on a touch screen.
document.addEventListener("change", (event) => {
  if (event.target.matches("select.move")) move(event.target.closest("[data-id]"), event.target.value);
});

// --- keys -----------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey) return;
  const isTyping = event.target.matches("input, textarea, select");
  if (isTyping) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const card = event.target.closest?.("[data-id]");
  if (card && board() && step(card, event)) return event.preventDefault();
  const place = { n: "new-title", "/": "filter-q" }[event.key];
  if (place === "filter-q" && !document.getElementById(place)) {
    event.preventDefault();
    location.assign("/list?focus=1");
  } else if (place && document.getElementById(place)) {
    event.preventDefault();
    focus(place);
  }
});

// Handles a key on a card; returns true when it was one of ours.
function step(card, event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (by && (event.shiftKey || event.altKey)) {
    const status = STATUSES[STATUSES.indexOf(card.dataset.status) + by];
    if (status) move(card, status);
    else say(`${card.dataset.status} is the last column here`);
    return true;
  }
  if (by) return toColumn(card, by);
  if (event.key === "ArrowUp" || event.key === "ArrowDown") {
    const next = event.key === "ArrowUp" ? card.previousElementSibling : card.nextElementSibling;
    next?.focus();
    return true;
  }
  if (event.key === "Enter" && event.target === card) {
    card.querySelector("a").click();
    return true;
  }
  return false;
}

// Moves the focus to the card at the same height in the next column that has one.
function toColumn(card, by) {
  const height = [...card.parentElement.children].indexOf(card);
  for (let at = STATUSES.indexOf(card.dataset.status) + by; STATUSES[at]; at += by) {
    const cards = board().querySelectorAll(`[data-column="${STATUSES[at]}"] [data-id]`);
    if (cards.length === 0) continue;
    cards[Math.min(height, cards.length - 1)].focus();
    break;
  }
  return true;
}

// --- htmx -----------------------------------------------------------------------------------

// A refusal comes with a body that says why; it is shown where its kind belongs.
document.addEventListener("htmx:beforeSwap", (event) => {
  const status = event.detail.xhr.status;
  if (status === 409 || status === 412 || status === 422) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  } else if (status === 401) {
    location.reload();
  } else if (status >= 400) {
    say(event.detail.xhr.responseText.slice(0, 200));
  }
});

// A board that was asked for before a move, and comes after it, would take the move back for a
// moment; the one that is asked for after the move is on its way.
document.addEventListener("htmx:beforeRequest", (event) => {
  event.detail.requestConfig.moves = moves;
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, requestConfig } = event.detail;
  if (target === board() && requestConfig.moves !== moves) event.detail.shouldSwap = false;
});

// What is focused stays so when its surroundings are drawn anew.
let focused = null;
document.addEventListener("htmx:beforeSwap", () => {
  focused = document.activeElement?.id || null;
});
document.addEventListener("htmx:afterSettle", () => {
  if (focused && document.activeElement === document.body) focus(focused);
});

// The line above the board is empty again once its task is there.
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful && event.target.matches?.("form[data-clear]")) event.target.reset();
});

// A form with changes of the user's own is not replaced under their hands.
document.addEventListener("input", (event) => {
  event.target.closest("form[data-keep]")?.setAttribute("data-touched", "");
});
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, requestConfig, xhr } = event.detail;
  if (requestConfig.triggeringEvent?.type !== "tasks") return;
  const form = target.querySelector("form[data-keep][data-touched]");
  if (!form) return;
  event.detail.shouldSwap = false;
  const ours = form.elements.namedItem("version")?.value;
  const theirs = /name="version" value="(\d+)"/.exec(xhr.responseText)?.[1];
  if (ours && ours !== theirs) document.getElementById("newer").hidden = false;
});

if (document.getElementById("state")) connect();
