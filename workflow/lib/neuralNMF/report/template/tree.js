// The hierarchy: a tree by the keyboard rules of the ARIA practices, and the panel beside it.

const tree = byId("tree");
const items = () => all("[role=treeitem]", tree).filter((item) => !item.parentElement.closest("[aria-expanded=false]"));
const nodeOf = (item) => item.firstElementChild;

function focusItem(item) {
  all("[role=treeitem][tabindex='0']", tree).forEach((other) => (other.tabIndex = -1));
  item.tabIndex = 0;
  item.focus();
}

function choose(item) {
  all("[aria-selected=true]", tree).forEach((other) => other.setAttribute("aria-selected", "false"));
  item.setAttribute("aria-selected", "true");
  all("[role=treeitem][tabindex='0']", tree).forEach((other) => (other.tabIndex = -1));
  item.tabIndex = 0;
  if (item.dataset.program) showProgram(item.dataset.program);
  else showGene(item.dataset.leaf, item.dataset.of);
}

function expand(item, open) {
  item.setAttribute("aria-expanded", String(open));
}

tree.addEventListener("click", (event) => {
  const item = event.target.closest("[role=treeitem]");
  if (item) choose(item);
});

tree.addEventListener("keydown", (event) => {
  const item = event.target.closest("[role=treeitem]");
  if (!item || event.altKey || event.ctrlKey || event.metaKey) return;
  const there = items();
  const place = there.indexOf(item);
  const open = item.getAttribute("aria-expanded");
  const above = item.parentElement.closest("[role=treeitem]");
  const moves = {
    ArrowDown: () => there[place + 1],
    ArrowUp: () => there[place - 1],
    Home: () => there[0],
    End: () => there[there.length - 1],
    ArrowRight: () => (open === "true" ? there[place + 1] : (open === "false" && expand(item, true), null)),
    ArrowLeft: () => (open === "true" ? (expand(item, false), null) : above),
    Enter: () => (choose(item), null),
    " ": () => (choose(item), null),
  };
  if (!(event.key in moves)) return;
  event.preventDefault();
  const next = moves[event.key]();
  if (next) focusItem(next);
});

// The panel shows the program's card, with a larger map.
function showProgram(id) {
  const copy = byId(`card-${id}`).cloneNode(true);
  all("[id]", copy).forEach((part) => part.removeAttribute("id"));
  const canvas = copy.querySelector("canvas");
  canvas.classList.remove("small");
  canvas.width = 360;
  canvas.height = 280;
  canvas.removeAttribute("data-drawn");
  copy.querySelector(".card-body").replaceWith(canvas, copy.querySelector(".card-body > div"));
  byId("detail").replaceChildren(...copy.childNodes);
  drawSmall(canvas, `program:${id}`);
}

function showGene(gene, id) {
  const canvas = element("canvas", { width: 360, height: 280, role: "img", "aria-label": `Expression of ${gene}` });
  const text = element("p", {}, "…");
  const panel = byId("detail");
  panel.replaceChildren(
    element("h3", {}, gene),
    element("p", { className: "where" }, `A marker of ${cards.get(id).name}.`),
    canvas,
    text,
    element("ul", { className: "family" }),
    element("p", {}, element("button", { type: "button", className: "action", "data-gene": gene }, "Show on the cells")),
  );
  findGene(gene).then((found) => {
    panel.querySelector(".family")?.replaceChildren(...found.programs.map((line) => element("li", {}, ...line)));
  });
  if (gene in data.cells.genes) drawSmall(canvas, `gene:${gene}`).then((shown) => (text.textContent = shown));
  else {
    canvas.remove();
    text.textContent = "Its expression is not part of this page: there was no room for all markers.";
  }
}

function startTree() {
  const many = all("[data-program]", tree).length > 60;
  if (many) all("[data-program]", tree).forEach((item) => expand(item, false));
  const first = tree.querySelector("[role=treeitem]");
  if (first) choose(first);
}
