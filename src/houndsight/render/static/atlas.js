const given = document.getElementById("data");
const canvas = document.getElementById("atlas-map");
const pen = canvas.getContext("2d");
const sprite = document.getElementById("atlas-sprite");
const card = document.getElementById("atlas-card");
const photo = document.getElementById("atlas-photo").getContext("2d");
const [saidLabel, saidPath] = document.querySelectorAll("#atlas-said > *");
const link = document.getElementById("atlas-search");
const list = document.getElementById("atlas-labels");
const find = document.getElementById("atlas-find");

async function load() {
  if (given.textContent) return JSON.parse(given.textContent);
  const answer = await fetch(given.dataset.from);
  if (answer.ok) return answer.json();
  throw new Error(`${answer.status} ${answer.statusText}`);
}

function say(name, text) {
  for (const spot of document.querySelectorAll(`[data-of="${name}"]`)) spot.textContent = text;
}

const data = await load().catch((error) => {
  say("note", `The map could not be loaded: ${error.message}.`);
  throw error;
});
let view = { x: 0.5, y: 0.5, zoom: 1 };
const chosen = new Set();
const found = new Set(data.labels.keys());  // labels with the text that is looked for
let current = -1;
let waiting = false;

const ratio = () => window.devicePixelRatio || 1;
const unit = () => Math.min(canvas.clientWidth, canvas.clientHeight) * 0.94 * view.zoom;
const place = ([x, y]) => [
  canvas.clientWidth / 2 + (x - view.x) * unit(),
  canvas.clientHeight / 2 + (y - view.y) * unit(),
];
const wanted = ([, , label]) => found.has(label) && (chosen.size === 0 || chosen.has(label));
// Photos, once there is room for them; points before.
const photoSide = () => Math.min(data.side, unit() / Math.sqrt(data.points.length) / 1.3);
const photosFit = () => photoSide() > 22;

function draw() {
  waiting = false;
  const r = ratio();
  canvas.width = canvas.clientWidth * r;
  canvas.height = canvas.clientHeight * r;
  pen.setTransform(r, 0, 0, r, 0, 0);
  const side = photoSide();
  const photos = photosFit();
  data.points.forEach((point, n) => {
    const [x, y] = place(point);
    if (x < -80 || y < -80 || x > canvas.clientWidth + 80 || y > canvas.clientHeight + 80) return;
    pen.globalAlpha = wanted(point) ? 1 : 0.12;
    pen.fillStyle = data.colours[point[2]];
    if (photos) {
      pen.fillRect(x - side / 2 - 2, y - side / 2 - 2, side + 4, side + 4);
      paint(pen, n, x - side / 2, y - side / 2, side);
    } else {
      pen.beginPath();
      pen.arc(x, y, 4, 0, 7);
      pen.fill();
    }
  });
  pen.globalAlpha = 1;
  if (current >= 0) {
    const [x, y] = place(data.points[current]);
    const reach = photos ? side / 2 + 4 : 8;
    pen.lineWidth = 3;
    pen.strokeStyle = getComputedStyle(canvas).color;
    pen.strokeRect(x - reach, y - reach, 2 * reach, 2 * reach);
  }
}

function paint(target, n, x, y, side) {
  if (!sprite.naturalWidth) return;  // not loaded yet, or never: drawing it would throw
  const column = n % data.columns;
  const row = Math.floor(n / data.columns);
  const s = data.side;
  target.drawImage(sprite, column * s, row * s, s, s, x, y, side, side);
}

function redraw() {
  if (!waiting) requestAnimationFrame(draw);
  waiting = true;
}

function show(n) {
  current = n;
  card.hidden = n < 0;
  if (n >= 0) {
    paint(photo, n, 0, 0, 128);
    saidLabel.textContent = data.labels[data.points[n][2]];
    saidPath.textContent = data.paths[n];
    if (data.search) link.href = data.search + data.ids[n];
  }
  redraw();
}

function search(n) {
  if (data.search && n >= 0) location.href = data.search + data.ids[n];
}

function nearest(px, py, reach, test = () => true) {
  let best = -1;
  data.points.forEach((point, n) => {
    if (!wanted(point) || !test(n)) return;
    const [x, y] = place(point);
    const d = Math.hypot(x - px, y - py);
    if (d < reach) [best, reach] = [n, d];
  });
  return best;
}

const hovers = (event) => event.pointerType !== "touch";

// What a pointer is on, or near; a photo reaches as far as its corners.
function under(event) {
  const reach = Math.max(hovers(event) ? 24 : 30, photosFit() ? photoSide() * 0.7 : 0);
  return nearest(event.offsetX, event.offsetY, reach);
}

function moveBy(x, y) {
  view.x -= x / unit();
  view.y -= y / unit();
  redraw();
}

function zoomBy(factor, px = canvas.clientWidth / 2, py = canvas.clientHeight / 2) {
  const before = unit();
  view.zoom = Math.min(200, Math.max(0.5, view.zoom * factor));
  const change = 1 / before - 1 / unit();
  view.x += (px - canvas.clientWidth / 2) * change;
  view.y += (py - canvas.clientHeight / 2) * change;
  redraw();
}

const fingers = new Map();
let pressed = null;  // where the only pointer went down, until it is dragged or another joins it
canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  const at = [event.offsetX, event.offsetY];
  fingers.set(event.pointerId, at);
  pressed = fingers.size === 1 ? at : null;
});
canvas.addEventListener("pointermove", (event) => {
  const [px, py] = [event.offsetX, event.offsetY];
  const before = fingers.get(event.pointerId);
  if (!before) {
    if (hovers(event)) show(under(event));
    return;
  }
  if (pressed && Math.hypot(px - pressed[0], py - pressed[1]) > 5) pressed = null;
  const other = [...fingers].find(([id]) => id !== event.pointerId);
  if (other) {
    // What lies midway between two fingers follows them, as does their distance.
    const [ox, oy] = other[1];
    moveBy((px - before[0]) / 2, (py - before[1]) / 2);
    const grown = Math.hypot(px - ox, py - oy) / Math.hypot(before[0] - ox, before[1] - oy);
    if (Number.isFinite(grown) && grown > 0) zoomBy(grown, (px + ox) / 2, (py + oy) / 2);
  } else {
    moveBy(px - before[0], py - before[1]);
  }
  fingers.set(event.pointerId, [px, py]);
});
canvas.addEventListener("pointerup", (event) => {
  fingers.delete(event.pointerId);
  if (!pressed) return;
  pressed = null;
  show(under(event));
  // A finger cannot look before it presses: it gets the card, and the link in it.
  if (hovers(event)) search(current);
});
canvas.addEventListener("pointercancel", (event) => {
  fingers.delete(event.pointerId);
  pressed = null;
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const way = ways[event.key];
  if (way) {
    const [px, py] = current >= 0
      ? place(data.points[current]) : [canvas.clientWidth / 2, canvas.clientHeight / 2];
    const next = nearest(px, py, Infinity, (n) => {
      const [x, y] = place(data.points[n]);
      const along = (x - px) * way[0] + (y - py) * way[1];
      const aside = Math.abs((x - px) * way[1]) + Math.abs((y - py) * way[0]);
      return n !== current && along > 0 && along >= aside;
    });
    if (next >= 0) {
      show(next);
      const [x, y] = place(data.points[next]);
      if (x < 0 || y < 0 || x > canvas.clientWidth || y > canvas.clientHeight) {
        [view.x, view.y] = data.points[next];
      }
    }
  } else if (event.key === "+" || event.key === "=") zoomBy(1.4);
  else if (event.key === "-") zoomBy(1 / 1.4);
  else if (event.key === "0") {
    view = { x: 0.5, y: 0.5, zoom: 1 };
    redraw();
  } else if (event.key === "Enter") search(current);
  else return;
  event.preventDefault();
});
// Wherever the focus is: the card may also have come by pointing.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (card.contains(document.activeElement)) canvas.focus();
  show(-1);
});

data.labels.forEach((label, n) => {
  if (!data.counts[n]) return;
  const button = document.createElement("button");
  const dot = document.createElement("i");
  const name = document.createElement("span");
  const count = document.createElement("small");
  dot.style.background = data.colours[n];
  name.textContent = label.replace(/_/g, "_\u200b");  // where a long one may be broken
  count.textContent = data.counts[n];
  button.append(dot, name, count);
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    if (chosen.has(n)) chosen.delete(n);
    else chosen.add(n);
    button.setAttribute("aria-pressed", String(chosen.has(n)));
    redraw();
  });
  const entry = document.createElement("li");
  entry.append(button);
  list.append(entry);
  find.addEventListener("input", () => {
    entry.hidden = !label.toLowerCase().includes(find.value.toLowerCase());
    if (entry.hidden) found.delete(n);
    else found.add(n);
    redraw();
  });
});
say("title", data.title);
say("note", data.note);
for (const part of document.querySelectorAll('[data-if="search"]')) part.hidden = !data.search;
window.addEventListener("resize", redraw);
sprite.addEventListener("load", () => show(current));
redraw();
