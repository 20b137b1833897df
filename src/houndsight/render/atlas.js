"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("map");
const pen = canvas.getContext("2d");
const sprite = document.getElementById("sprite");
const card = document.getElementById("card");
const photo = document.getElementById("photo").getContext("2d");
const [saidLabel, saidPath] = document.querySelectorAll("#said > *");
const list = document.getElementById("labels");
const find = document.getElementById("find");
let view = { x: 0.5, y: 0.5, zoom: 1 };
let chosen = new Set();
let current = -1;
let waiting = false;

const ratio = () => window.devicePixelRatio || 1;
const unit = () => Math.min(canvas.clientWidth, canvas.clientHeight) * 0.94 * view.zoom;
const place = ([x, y]) => [
  canvas.clientWidth / 2 + (x - view.x) * unit(),
  canvas.clientHeight / 2 + (y - view.y) * unit(),
];
const wanted = (point) => chosen.size === 0 || chosen.has(point[2]);

function draw() {
  waiting = false;
  const r = ratio();
  canvas.width = canvas.clientWidth * r;
  canvas.height = canvas.clientHeight * r;
  pen.setTransform(r, 0, 0, r, 0, 0);
  // Photos, once there is room for them; points before.
  const side = Math.min(data.side, unit() / Math.sqrt(data.points.length) / 1.3);
  const photos = side > 22;
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
    pen.strokeStyle = getComputedStyle(document.body).color;
    pen.strokeRect(x - reach, y - reach, 2 * reach, 2 * reach);
  }
}

function paint(target, n, x, y, side) {
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
  }
  redraw();
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

function zoomBy(factor, px = canvas.clientWidth / 2, py = canvas.clientHeight / 2) {
  const before = unit();
  view.zoom = Math.min(200, Math.max(0.5, view.zoom * factor));
  const change = 1 / before - 1 / unit();
  view.x += (px - canvas.clientWidth / 2) * change;
  view.y += (py - canvas.clientHeight / 2) * change;
  redraw();
}

const fingers = new Map();
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
  show(nearest(event.offsetX, event.offsetY, 30));
});
canvas.addEventListener("pointermove", (event) => {
  const [px, py] = [event.offsetX, event.offsetY];
  const before = fingers.get(event.pointerId);
  if (!before) return event.pointerType === "mouse" && show(nearest(px, py, 24));
  const others = [...fingers].filter(([id]) => id !== event.pointerId);
  if (others.length) {
    const [ox, oy] = others[0][1];
    const grown = Math.hypot(px - ox, py - oy) / Math.hypot(before[0] - ox, before[1] - oy);
    if (Number.isFinite(grown) && grown > 0) zoomBy(grown, ox, oy);
  } else {
    view.x -= (px - before[0]) / unit();
    view.y -= (py - before[1]) / unit();
    redraw();
  }
  fingers.set(event.pointerId, [px, py]);
});
for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
}
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
  } else if (event.key === "Escape") show(-1);
  else return;
  event.preventDefault();
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
});
find.addEventListener("input", () => {
  const text = find.value.toLowerCase();
  for (const entry of list.children) {
    entry.hidden = !entry.textContent.toLowerCase().includes(text);
  }
});
window.addEventListener("resize", redraw);
if (sprite.complete) redraw();
else sprite.addEventListener("load", redraw);
