"use strict";
// What links and forms cannot do by themselves. Nothing here knows a gallery: the server's pages say
// what is there, and htmx puts them in place.

const byId = (id) => document.getElementById(id);

// Photos that are dropped or pasted go the way of those that are chosen.

function hand(files) {
  const choose = byId("choose");
  const photos = [...files].filter((file) => file.type.startsWith("image/") || !file.type);
  if (!choose || choose.closest("form").hidden) return;
  if (!photos.length) return say({ message: "That is no photo" });
  const given = new DataTransfer();
  for (const photo of photos) given.items.add(photo);
  choose.files = given.files;
  choose.dispatchEvent(new Event("change", { bubbles: true }));
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

document.addEventListener("input", ({ target }) => {
  if (target.id === "k") byId("k-now").value = target.value;
  if (target.dataset.narrows) {
    const wanted = target.value.toLowerCase();
    for (const entry of byId(target.dataset.narrows).children) {
      entry.hidden = !entry.textContent.toLowerCase().includes(wanted);
    }
  }
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
    shown.addEventListener("cancel", (event) => {
      event.preventDefault();
      shown.querySelector(".close").click();
    });
    shown.addEventListener("click", (event) => {
      if (event.target === shown) shown.querySelector(".close").click();
    });
  } else if (last && !document.querySelector("dialog")) {
    document.querySelector(`a.photo[href*="show=${last}"]`)?.focus();
    last = null;
  }
}

// Changes are asked of the API, shown with a way back, and then the page is asked for anew.

function show(address = location.href) {
  return htmx.ajax("GET", address, {
    target: "#page", select: "#page", swap: "outerHTML show:none",
  });
}

function say({ message, remedy, change }, failed = false) {
  const note = document.createElement("div");
  const words = document.createElement("p");
  note.className = failed ? "toast failed" : "toast";
  words.textContent = remedy ? `${message}. ${remedy}.` : message;
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
  (document.querySelector("dialog[open]") ?? document.body).append(byId("said"));
  byId("said").replaceChildren(note);
}

async function change(form) {
  const method = form.dataset.change || "POST";
  const data = new FormData(form);
  const headers = {};
  let body = method === "POST" ? data : undefined;
  if (method === "PATCH") {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify({ label: data.get("label").trim() || null });
  } else if (method === "POST" && data.get("label") === "") data.delete("label");
  try {
    const answer = await fetch(form.action, { method, headers, body });
    const told = await answer.json();
    if (!answer.ok) return say(told.error, true);
    if (told.link) {
      form.querySelector("output").value = told.link;
      return;
    }
    const then = form.dataset.then;
    document.body.append(byId("said"));
    if (then) history.replaceState(null, "", then);
    await show(then);
    if (!("quiet" in form.dataset)) say(told);
  } catch {
    say({ message: "The server does not answer", remedy: "Is it still running" }, true);
  }
}

document.addEventListener("submit", (event) => {
  if (event.target.dataset.change === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  change(event.target);
}, { capture: true });

document.addEventListener("htmx:sendError", () => {
  say({ message: "The server does not answer", remedy: "Is it still running" }, true);
});

// Photos that come in while the page is open show by themselves, where no query was asked.

let photos = null;
document.addEventListener("htmx:afterSettle", () => {
  dress();
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
