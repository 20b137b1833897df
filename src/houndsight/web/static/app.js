"use strict";
// What links and forms cannot do by themselves. Nothing here knows a gallery: the server's pages say
// what is there, and htmx puts them in place.

const byId = (id) => document.getElementById(id);
const said = byId("said");

// Photos that are dropped or pasted go the way of those that are chosen.

function hand(files) {
  const choose = byId("choose");
  // With photos among them the server says what is none.
  if (![...files].some((file) => file.type.startsWith("image/") || !file.type)) {
    return say({ message: "That is no photo", remedy: "Use JPEG, PNG, WebP, GIF, TIFF, HEIC or RAW" }, true);
  }
  if (!choose) return handOver(files);
  if (choose.closest("form").hidden) return;
  const given = new DataTransfer();
  for (const file of files) given.items.add(file);
  choose.files = given.files;
  choose.dispatchEvent(new Event("change", { bubbles: true }));
}

// From a page without the form they go on to the one that has it, and back leads past that.
async function handOver(files) {
  files = [...files]; // what is dropped is gone by the time that the page is there
  await htmx.ajax("GET", "/", {
    target: "#page", select: "#page", swap: "outerHTML", push: "true",
  }).catch(() => {});
  if (!byId("choose")) return;
  byId("drop").setAttribute("hx-replace-url", "true");
  hand(files);
}

for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (name === "drop") hand(event.dataTransfer.files);
  });
}
for (const [name, over] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(name, (event) => {
    if (over && !event.dataTransfer?.types.includes("Files")) return;
    if (over || !event.relatedTarget) document.body.classList.toggle("dropping", over);
  });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) hand(event.clipboardData.files);
});

// Addresses hold what differs from the default, and nothing else.

const DEFAULTS = { k: "20", way: "each" };
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (detail.verb !== "get") return;
  for (const name of new Set(detail.formData.keys())) {
    const values = detail.formData.getAll(name).filter((one) => one && one !== DEFAULTS[name]);
    detail.formData.delete(name);
    for (const value of values) detail.formData.append(name, value);
  }
});

function narrow(field) {
  const wanted = field.value.toLowerCase();
  for (const entry of byId(field.dataset.narrows).children) {
    entry.hidden = !entry.textContent.toLowerCase().includes(wanted);
  }
}

document.addEventListener("input", ({ target }) => {
  if (target.id === "k") byId("k-now").value = target.value;
  if (target.dataset.narrows) narrow(target);
});

// A rectangle that is dragged on the query becomes the field's text; the field does the rest.

const percent = (part) => Math.round(Math.min(Math.max(part, 0), 1) * 1000) / 10;

function box(figure) {
  let frame = figure.querySelector(".crop");
  if (!frame) {
    frame = document.createElement("div");
    frame.className = "crop";
    figure.append(frame);
  }
  return frame;
}

function place(figure, [x, y, width, height]) {
  Object.assign(box(figure).style, {
    left: `${x}%`, top: `${y}%`, width: `${width}%`, height: `${height}%`,
  });
}

function cropping(figure) {
  const field = byId(figure.dataset.crop);
  const given = field.value.split(",").map(parseFloat);
  if (field.value.endsWith("%") && given.length === 4) place(figure, given);
  let from = null;
  const at = (event) => {
    const edge = figure.getBoundingClientRect();
    return [
      percent((event.clientX - edge.left) / edge.width),
      percent((event.clientY - edge.top) / edge.height),
    ];
  };
  const drawn = (event) => {
    const to = at(event);
    const [x, y] = from.map((start, n) => Math.min(start, to[n]));
    const [right, bottom] = from.map((start, n) => Math.max(start, to[n]));
    return [x, y, right - x, bottom - y].map((part) => Math.round(part * 10) / 10);
  };
  figure.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    figure.setPointerCapture(event.pointerId);
    from = at(event);
  });
  figure.addEventListener("pointermove", (event) => from && place(figure, drawn(event)));
  figure.addEventListener("pointercancel", () => (from = null));
  figure.addEventListener("pointerup", (event) => {
    if (!from) return;
    const part = drawn(event);
    from = null;
    // Less than that was a click, not a rectangle.
    field.value = part[2] < 3 || part[3] < 3 ? "" : `${part.join(",")}%`;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  });
}

// The photo that is looked at is a dialog; closing it is following a link, so that back works.

let last = null;

function dress() {
  for (const figure of document.querySelectorAll("[data-crop]:not(.ready)")) {
    figure.classList.add("ready");
    cropping(figure);
  }
  const shown = document.querySelector("dialog[open]:not(.ready)");
  if (shown) {
    shown.classList.add("ready");
    last = shown.dataset.item;
    shown.removeAttribute("open");
    shown.showModal();
    if (said.firstChild) shown.append(said);
    shown.addEventListener("close", () => shown.querySelector(".close").click());
    shown.addEventListener("click", (event) => {
      if (event.target === shown) shown.querySelector(".close").click();
    });
  } else if (last && !document.querySelector("dialog")) {
    document.querySelector(`a.photo[href*="show=${last}"]`)?.focus();
    last = null;
  }
}

// Changes are asked of the API, shown with a way back, and then the page is asked for anew; what was
// looked for in its list of labels stays.

let showing = Promise.resolve();

// One after the other, as each replaces the page: htmx would put a second one in place of the first.
function show(address) {
  showing = showing.catch(() => {}).then(() => load(address ?? location.href));
  return showing;
}

async function load(address) {
  const [text, scrolled] = [byId("find-label")?.value, byId("label-list")?.scrollTop];
  await htmx.ajax("GET", address, {
    target: "#page", select: "#page", swap: "outerHTML show:none",
  });
  const field = byId("find-label");
  if (!field) return;
  if (text) {
    field.value = text;
    narrow(field);
  }
  byId("label-list").scrollTop = scrolled;
}

function say({ message, remedy, change }, failed = false) {
  const note = document.createElement("div");
  const words = document.createElement("p");
  note.className = failed ? "toast failed" : "toast";
  const sentence = (text) => text.replace(/[^.?!]$/, "$&.");
  words.textContent = [message, remedy].filter(Boolean).map(sentence).join(" ");
  note.append(words);
  if (change) {
    const form = document.createElement("form");
    const back = document.createElement("button");
    form.action = `/api/changes/${change}/undo`;
    form.dataset.change = "POST";
    back.textContent = "Undo";
    form.append(back);
    note.append(form);
  }
  const away = document.createElement("button");
  away.textContent = "×";
  away.ariaLabel = "Close this message";
  away.className = "away";
  away.addEventListener("click", () => note.remove());
  note.append(away);
  // Above a dialog nothing is seen but what is in it.
  (document.querySelector("dialog[open]") ?? document.body).append(said);
  said.replaceChildren(note);
}

const SILENT = {
  message: "The server does not answer", remedy: "See whether it is still running",
};

const unexpected = (status) => ({
  message: `The server answered ${status}`, remedy: "Load the page again",
});

async function change(form) {
  const method = form.dataset.change || "POST";
  // A label with a line break has none in its field, and is not to lose it unasked.
  const field = form.elements.label;
  if (method === "PATCH" && field.value === field.defaultValue.replace(/[\r\n]/g, "") && field.type !== "hidden") {
    return say({ message: "The label is as it was" });
  }
  const data = new FormData(form);
  const headers = {};
  let body = method === "POST" ? data : undefined;
  if (method === "PATCH") {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify({ label: data.get("label").trim() || null });
  } else if (method === "POST" && data.get("label") === "") data.delete("label");
  try {
    const answer = await fetch(form.action, { method, headers, body });
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) return say(told.error ?? unexpected(answer.status), true);
    if (told.link) {
      form.querySelector("output").value = told.link;
      return;
    }
    const then = form.dataset.then;
    if (then) history.replaceState(null, "", then);
    await show(then);
    if (!("quiet" in form.dataset)) say(told);
  } catch {
    say(SILENT, true);
  }
}

document.addEventListener("submit", (event) => {
  if (event.target.dataset.change === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  change(event.target);
}, { capture: true });

document.addEventListener("htmx:sendError", () => say(SILENT, true));

// What is refused leaves the page as it is, and says why.

document.addEventListener("htmx:responseError", ({ detail }) => {
  // What the address names is not there any more.
  if (detail.elt === document.body && detail.xhr.status < 500) return location.reload();
  const page = new DOMParser().parseFromString(detail.xhr.response, "text/html");
  const [message, remedy] = page.querySelectorAll(".problem > *:not(br)");
  const told = { message: message?.textContent, remedy: remedy?.textContent };
  say(message ? told : unexpected(detail.xhr.status), true);
  for (const id of ["ask", "drop"]) byId(id)?.reset();
  if (byId("k-now")) byId("k-now").value = byId("k").value;
});

// An answer is not shown where more was asked meanwhile: htmx has that in its queue.

const filled = (form) => new URLSearchParams(new FormData(form)).toString();
let sent = "";

document.addEventListener("htmx:beforeSend", ({ detail }) => {
  if (detail.elt.id === "ask") sent = filled(detail.elt);
});

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const form = detail.requestConfig.elt;
  if (form.id === "ask" && filled(form) !== sent) detail.shouldSwap = false;
  else if (detail.target.id === "page") document.body.append(said);
});

// Another query begins at the top; who lost the focus with what was replaced goes on from there.

const asked = () => new URLSearchParams(location.search).getAll("q").join();
let before = asked();

function settle() {
  if (asked() !== before) window.scrollTo(0, 0);
  before = asked();
  for (const link of document.querySelectorAll("nav[aria-label=Pages] a")) {
    if (link.pathname === location.pathname) link.ariaCurrent = "page";
    else link.removeAttribute("aria-current");
  }
  if (document.activeElement === document.body) byId("page").focus({ preventScroll: true });
}

// Back and forward ask for the address anew: nothing is kept that may have changed.

document.addEventListener("htmx:historyCacheMiss", (event) => {
  event.preventDefault();
  before = asked();
  show();
});

// Photos that come in while the page is open show by themselves, where no query was asked.

let photos = null;
document.addEventListener("htmx:afterSettle", ({ detail }) => {
  dress();
  if (detail.target.id === "page") settle();
  const now = byId("progress")?.dataset.photos;
  const listing = location.pathname === "/gallery" || (location.pathname === "/" && !location.search);
  if (photos !== null && now !== photos && listing) show();
  photos = now;
});
document.addEventListener("DOMContentLoaded", () => {
  document.documentElement.classList.add("scripted");
  photos = byId("progress")?.dataset.photos ?? null;
  dress();
});
