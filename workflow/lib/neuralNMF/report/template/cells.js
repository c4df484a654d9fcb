// The cells: on a plain canvas, which every browser has, also where no graphics card helps.

const cells = data.cells;
const view = { zoom: 1, x: 0, y: 0, place: 0, colouring: null, chosen: 0 };
const SMALL_MAP = 12000; // cells in a small map: more would not be seen

// Coordinates from 0 to 1, y upwards.
async function placeOf(number) {
  const [x, y] = await Promise.all([wide(cells.places[number].x), wide(cells.places[number].y)]);
  return { x, y };
}

// What colours the cells: `steps` from 0 to 255, or `codes` of `groups` with 0 for none.
async function colouringOf(key) {
  const cut = key.indexOf(":");
  const [kind, name] = [key.slice(0, cut), key.slice(cut + 1)];
  if (kind === "program") {
    const values = (step) => (step / 255) ** 2;
    return {
      kind, title: cards.get(name).name, what: "share of the cell's usage", steps: await steps(cells.shares[name]),
      value: values, text: percent,
    };
  }
  if (kind === "gene") {
    const { steps: packed, high } = cells.genes[name];
    return {
      kind, title: name, what: "counts at the median library size", steps: await steps(packed),
      value: (step) => Math.expm1((step / 255) * Math.log1p(high)), text: (value) => value.toFixed(value < 10 ? 1 : 0),
    };
  }
  if (kind === "number") {
    const column = cells.numbers[Number(name)];
    const span = column.log ? Math.log(column.high / column.low) : column.high - column.low;
    return {
      kind, title: column.name, what: "value", steps: await steps(column.steps),
      value: (step) => (column.log ? column.low * Math.exp((step / 255) * span) : column.low + (step / 255) * span),
      text: (value) => grouped.format(Number(value.toPrecision(3))),
    };
  }
  if (kind === "main") {
    const layer = Number(name);
    const numbered = data.cards.filter((card) => card.layer === layer).sort((a, b) => number(a) - number(b));
    return {
      kind, title: `Main program of layer ${layer}`, codes: await wide(cells.main[layer - 1]),
      groups: numbered.map((card) => card.name), colours: numbered.map((card) => seen(card.colour)),
    };
  }
  const column = cells.groups[Number(name)];
  return {
    kind, title: column.name, codes: await steps(column.codes), groups: column.groups,
    colours: column.colours.map(seen),
  };
}

const number = (card) => Number(card.id.split("P")[1]);

// Draws the cells; `frame` maps coordinates to pixels, `chosen` is the only group in colour (0: all).
function draw(canvas, place, colouring, frame, chosen = 0, every = 1) {
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  const values = colouring.steps || colouring.codes;
  const colours = colouring.steps ? ramp() : [style("--empty"), ...colouring.colours];
  const scale = canvas.width / canvas.clientWidth || 1;
  const size = Math.max(1.1, Math.min(5, 150 / Math.sqrt(values.length / every))) * scale * Math.min(2, Math.sqrt(frame.zoom)) * frame.size;
  // By value, so that the highest lie on top and a colour is set once.
  const buckets = Array.from({ length: colours.length }, () => []);
  for (let i = 0; i < values.length; i += every) {
    const shown = colouring.codes && chosen && values[i] !== chosen ? 0 : values[i];
    buckets[Math.min(shown, colours.length - 1)].push(i);
  }
  buckets.forEach((bucket, step) => {
    if (!bucket.length) return;
    context.fillStyle = colours[step];
    context.beginPath();
    for (const i of bucket) {
      const [x, y] = frame.at(place.x[i] / 65535, place.y[i] / 65535);
      if (size < 3) context.rect(x - size / 2, y - size / 2, size, size);
      else {
        context.moveTo(x + size / 2, y);
        context.arc(x, y, size / 2, 0, 7);
      }
    }
    context.fill();
  });
  canvas.dataset.drawn = "yes";
}

function frameOf(canvas, { zoom = 1, x = 0, y = 0 } = {}, size = 1) {
  const [width, height] = [canvas.width, canvas.height];
  const margin = 0.04;
  const at = (u, v) => [
    ((u - 0.5) * zoom * (1 - 2 * margin) + 0.5 + x) * width,
    ((0.5 - v) * zoom * (1 - 2 * margin) + 0.5 + y) * height,
  ];
  return { at, zoom, size };
}

// A small map; resolves to what it shows, in words.
async function drawSmall(canvas, key) {
  const [place, colouring] = await Promise.all([placeOf(view.place), colouringOf(key)]);
  const every = Math.max(1, Math.ceil(cells.shown / SMALL_MAP));
  const scale = Math.max(1, Math.min(2, devicePixelRatio || 1));
  if (!canvas.dataset.key) [canvas.width, canvas.height] = [canvas.width * scale, canvas.height * scale];
  canvas.dataset.key = key;
  draw(canvas, place, colouring, frameOf(canvas, {}, canvas.classList.contains("small") ? 0.6 : 0.8), 0, every);
  const text = await inWords(colouring);
  canvas.setAttribute("aria-label", text);
  return text;
}

// Means of a colouring in the groups of the first column of labels, highest first.
async function meansBy(colouring) {
  if (!colouring.steps || !cells.groups.length) return null;
  const by = cells.groups[0];
  const codes = await steps(by.codes);
  const sums = new Float64Array(by.groups.length + 1);
  const counts = new Float64Array(by.groups.length + 1);
  const values = Float64Array.from({ length: 256 }, (_, step) => colouring.value(step));
  codes.forEach((code, i) => {
    sums[code] += values[colouring.steps[i]];
    counts[code] += 1;
  });
  const rows = by.groups.map((name, k) => ({ name, mean: sums[k + 1] / counts[k + 1], cells: counts[k + 1] }));
  return { by: by.name, rows: rows.filter((row) => row.cells).sort((a, b) => b.mean - a.mean) };
}

async function inWords(colouring) {
  if (colouring.codes) {
    const counts = new Map();
    colouring.codes.forEach((code) => counts.set(code, (counts.get(code) || 0) + 1));
    const largest = [...counts].filter(([code]) => code).sort((a, b) => b[1] - a[1]).slice(0, 3);
    const named = largest.map(([code, count]) => `${colouring.groups[code - 1]} (${grouped.format(count)} cells)`);
    return `${colouring.title}, ${colouring.groups.length} groups. The largest: ${named.join(", ")}.`;
  }
  const means = await meansBy(colouring);
  if (colouring.kind === "gene") {
    const expressing = colouring.steps.reduce((sum, step) => sum + (step > 0), 0);
    const found = `${colouring.title} was found in ${grouped.format(expressing)} of ${grouped.format(cells.shown)} cells`;
    return means ? `${found}; ${highest(means, colouring)}` : `${found}.`;
  }
  const opening = `${colouring.title}, ${colouring.what}`;
  return means ? `${opening}; ${highest(means, colouring)}` : `${opening}.`;
}

function highest(means, colouring) {
  const named = means.rows.slice(0, 3).map((row) => `${row.name} (${colouring.text(row.mean)})`);
  return `by ${means.by} highest on average in ${named.join(", ")}.`;
}
