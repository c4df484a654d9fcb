// The large map of the tab "Cells": colours, legend, hover, zoom.

const map = byId("map");
let placed = null;
let asked = 0;

async function showMap() {
  const turn = ++asked;
  const [place, colouring] = await Promise.all([placeOf(view.place), colouringOf(byId("colour").value)]);
  if (turn !== asked) return; // another choice was made meanwhile
  placed = place;
  view.colouring = colouring;
  const text = await inWords(colouring);
  const shown = cells.shown < cells.total ? `A random ${grouped.format(cells.shown)} of ${grouped.format(cells.total)} cells. ` : "";
  byId("map-text").textContent = shown + text;
  map.setAttribute("aria-label", text);
  showLegend(colouring);
  await showMeans(colouring);
  redraw();
}

function redraw() {
  if (!placed || !map.clientWidth) return;
  const scale = Math.min(2, devicePixelRatio || 1);
  map.width = map.clientWidth * scale;
  map.height = map.clientHeight * scale;
  draw(map, placed, view.colouring, frameOf(map, view), view.chosen);
}

function showLegend(colouring) {
  const legend = byId("legend");
  if (colouring.steps) {
    const colours = ramp().filter((_, step) => step % 15 === 0);
    const bar = element("div", { className: "ramp" });
    bar.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
    const ends = [0, 255].map((step) => element("span", {}, colouring.text(colouring.value(step))));
    legend.replaceChildren(element("p", {}, colouring.what), bar, element("div", { className: "ramp-ends" }, ...ends));
    return;
  }
  const entries = colouring.groups.map((name, place) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = colouring.colours[place];
    const pressed = view.chosen === place + 1;
    return element("button", { type: "button", "aria-pressed": String(pressed), "data-group": String(place + 1) }, swatch, name);
  });
  legend.replaceChildren(element("p", { className: "hint" }, "Choose one to see it alone."), ...entries);
}

async function showMeans(colouring) {
  const means = await meansBy(colouring);
  if (!means) {
    byId("map-table").replaceChildren();
    return;
  }
  const rows = means.rows.map((row) =>
    element("tr", {}, element("th", { scope: "row" }, row.name), element("td", {}, colouring.text(row.mean)), element("td", {}, grouped.format(row.cells))));
  const head = [means.by, "Mean", "Cells"].map((title) => element("th", { scope: "col" }, title));
  const table = element("table", {}, element("caption", {}, `${colouring.title} by ${means.by}`), element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  byId("map-table").replaceChildren(element("details", {}, element("summary", {}, "The numbers"), table));
}

byId("legend").addEventListener("click", (event) => {
  const button = event.target.closest("[data-group]");
  if (!button) return;
  view.chosen = view.chosen === Number(button.dataset.group) ? 0 : Number(button.dataset.group);
  all("[data-group]").forEach((each) => each.setAttribute("aria-pressed", String(Number(each.dataset.group) === view.chosen)));
  redraw();
});

byId("colour").addEventListener("change", () => {
  view.chosen = 0;
  showMap();
});
byId("place").addEventListener("change", () => {
  view.place = Number(byId("place").value);
  showMap();
});

function zoomBy(factor) {
  view.zoom = Math.max(1, Math.min(40, view.zoom * factor));
  view.x *= factor;
  view.y *= factor;
  if (view.zoom === 1) view.x = view.y = 0;
  redraw();
}
byId("nearer").addEventListener("click", () => zoomBy(1.5));
byId("farther").addEventListener("click", () => zoomBy(1 / 1.5));
byId("whole").addEventListener("click", () => {
  [view.zoom, view.x, view.y] = [1, 0, 0];
  redraw();
});

let dragged = null;
map.addEventListener("pointerdown", (event) => {
  dragged = { x: event.clientX, y: event.clientY };
  map.setPointerCapture(event.pointerId);
});
map.addEventListener("pointerup", () => (dragged = null));
map.addEventListener("pointerleave", () => (byId("tip").hidden = true));
map.addEventListener("pointermove", (event) => {
  if (dragged && event.buttons) {
    view.x += (event.clientX - dragged.x) / map.clientWidth;
    view.y += (event.clientY - dragged.y) / map.clientHeight;
    dragged = { x: event.clientX, y: event.clientY };
    redraw();
  } else showTip(event);
});
map.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return; // the wheel alone scrolls the page
  event.preventDefault();
  zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2);
}, { passive: false });

async function showTip(event) {
  if (!placed) return;
  const box = map.getBoundingClientRect();
  const scale = map.width / box.width;
  const cell = nearest((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, 9 * scale);
  const tip = byId("tip");
  if (cell < 0) {
    tip.hidden = true;
    return;
  }
  tip.textContent = await aboutCell(cell);
  tip.hidden = false;
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  tip.style.left = `${Math.max(0, Math.min(x + 14, box.width - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(0, Math.min(y + 14, box.height - tip.offsetHeight - 4))}px`;
}

function nearest(x, y, within) {
  const frame = frameOf(map, view);
  let [best, least] = [-1, within * within];
  for (let i = 0; i < placed.x.length; i++) {
    const [u, v] = frame.at(placed.x[i] / 65535, placed.y[i] / 65535);
    const distance = (u - x) ** 2 + (v - y) ** 2;
    if (distance < least) [best, least] = [i, distance];
  }
  return best;
}

async function aboutCell(cell) {
  const lines = [(await words(cells.names))[cell]];
  for (const column of cells.groups) {
    const code = (await steps(column.codes))[cell];
    lines.push(`${column.name}: ${code ? column.groups[code - 1] : "no label"}`);
  }
  const { colouring } = view;
  if (colouring.steps) lines.push(`${colouring.title}: ${colouring.text(colouring.value(colouring.steps[cell]))}`);
  for (let layer = data.depth; layer > 0; layer--) {
    const main = await colouringOf(`main:${layer}`);
    lines.push(`layer ${layer}: mostly ${main.groups[main.codes[cell] - 1]}`);
  }
  return lines.join("\n");
}

function fillChoices() {
  const group = (label, options) =>
    options.length ? [element("optgroup", { label }, ...options.map(([value, text]) => element("option", { value }, text)))] : [];
  const layers = Array.from({ length: data.depth }, (_, k) => data.depth - k);
  byId("colour").append(
    ...group("Groups of cells", cells.groups.map((column, k) => [`group:${k}`, column.name])),
    ...group("Main program", layers.map((layer) => [`main:${layer}`, `of layer ${layer}`])),
    ...layers.flatMap((layer) =>
      group(`Share of a program of layer ${layer}`, data.cards.filter((card) => card.layer === layer).map((card) => [`program:${card.id}`, card.name]))),
    ...group("Genes", Object.keys(cells.genes).sort().map((gene) => [`gene:${gene}`, gene])),
    ...group("Numbers", cells.numbers.map((column, k) => [`number:${k}`, column.name])),
  );
  byId("place").append(...cells.places.map((place, k) => element("option", { value: String(k) }, place.name)));
}
