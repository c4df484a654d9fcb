// The cards: their small maps, the search over genes and programs, and the links between tabs.

async function drawCards() {
  for (const canvas of all("#programs canvas[data-map]")) {
    if (canvas.dataset.drawn) continue;
    await drawSmall(canvas, `program:${canvas.dataset.map}`);
    await new Promise((next) => setTimeout(next)); // the page stays usable meanwhile
  }
}

let known = null;
// Every gene's programs, and the genes that were dropped, by their names in capitals.
function readGenes() {
  known ??= (async () => {
    const names = await words(data.genes.names);
    const place = new Map();
    names.forEach((name, k) => place.has(name.toUpperCase()) || place.set(name.toUpperCase(), k));
    const layers = await Promise.all(data.genes.layers.map(async (layer) => ({ programs: await wide(layer.programs), ranks: await wide(layer.ranks) })));
    const dropped = new Map();
    for (const [reason, packed] of Object.entries(data.genes.dropped))
      for (const name of await words(packed)) dropped.set(name.toUpperCase(), { name, reason });
    return { names, place, layers, dropped };
  })();
  return known;
}

// Where a gene is found: `programs` holds a line a layer, coarse to fine, of words and buttons.
async function findGene(query) {
  const genes = await readGenes();
  const k = genes.place.get(query.toUpperCase());
  if (k === undefined) {
    const gone = genes.dropped.get(query.toUpperCase());
    return { name: gone?.name, reason: gone?.reason, ids: [], programs: [] };
  }
  const ids = [];
  const programs = [];
  for (let layer = data.depth; layer > 0; layer--) {
    const { programs: of, ranks } = genes.layers[layer - 1];
    const found = [];
    for (let place = k * data.genes.best; place < (k + 1) * data.genes.best; place++) {
      if (!of[place] || (found.length && ranks[place] > 100)) continue;
      const id = `${layer}.P${of[place]}`;
      if (ranks[place] <= 100) ids.push(id);
      if (found.length) found.push(", ");
      found.push(element("button", { type: "button", className: "link", "data-go": id }, cards.get(id).name), ` (marker ${ranks[place]})`);
    }
    programs.push([`layer ${layer}: `, ...(found.length ? found : ["no program has more of it than the others"])]);
  }
  return { name: genes.names[k], reason: null, ids, programs };
}

async function search() {
  const query = byId("query").value.trim();
  const layer = byId("layer").value;
  const found = query ? await findGene(query) : null;
  if (query !== byId("query").value.trim()) return;
  let shown = 0;
  for (const card of all("[data-card]")) {
    const fits = !query || found.ids.includes(card.dataset.card) || card.textContent.toUpperCase().includes(query.toUpperCase());
    card.hidden = !fits || (layer && card.dataset.layer !== layer);
    shown += !card.hidden;
  }
  const counted = `${shown} of ${data.cards.length} programs are shown.`;
  const answer = byId("answer");
  if (!query) answer.replaceChildren(...(layer ? [counted] : []));
  else if (found.programs.length) {
    const lines = found.programs.map((line) => element("li", {}, ...line));
    const button = found.name in data.cells.genes
      ? [element("p", {}, element("button", { type: "button", className: "action", "data-gene": found.name }, `Show ${found.name} on the cells`))] : [];
    answer.replaceChildren(element("p", {}, element("strong", {}, found.name), " as a marker:"), element("ul", { className: "plain" }, ...lines), ...button, counted);
  } else if (found.reason) answer.replaceChildren(element("strong", {}, found.name), ` is not among the genes that were used: ${found.reason}. ${counted}`);
  else answer.replaceChildren(counted);
  suggest(query);
}

async function suggest(query) {
  const { names } = await readGenes();
  const start = query.toUpperCase();
  const fitting = start ? names.filter((name) => name.toUpperCase().startsWith(start)).slice(0, 20) : [];
  byId("suggestions").replaceChildren(...fitting.map((value) => element("option", { value })));
}

byId("query").addEventListener("input", search);
byId("layer").addEventListener("change", search);
byId("search").addEventListener("submit", (event) => event.preventDefault());

// Links, wherever they stand: to a card, to a program or a gene on the cells.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.go) goToCard(button.dataset.go);
  else if (button.dataset.show) showOnCells(`program:${button.dataset.show}`);
  else if (button.dataset.gene !== undefined) {
    if (button.dataset.gene in cells.genes) showOnCells(`gene:${button.dataset.gene}`);
    else {
      openTab("programs");
      byId("query").value = button.dataset.gene;
      search();
    }
  }
});

function goToCard(id) {
  openTab("programs");
  const card = byId(`card-${id}`);
  if (card.hidden) {
    byId("query").value = byId("layer").value = "";
    search();
    card.hidden = false;
  }
  card.scrollIntoView({ block: "start" });
  card.focus({ preventScroll: true });
}

function showOnCells(key) {
  byId("colour").value = key;
  view.chosen = 0;
  openTab("cells");
}
