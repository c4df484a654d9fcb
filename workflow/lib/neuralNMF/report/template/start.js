// Tabs, and what happens when the page opens.

const tabs = all("[role=tab]");
const OPENED = { programs: drawCards, cells: showMap, quality: drawCharts };

function openTab(name) {
  for (const tab of tabs) {
    const open = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", String(open));
    tab.tabIndex = open ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !open;
  }
  OPENED[name]?.();
}

tabs.forEach((tab, place) => {
  tab.addEventListener("click", () => openTab(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", (event) => {
    const last = tabs.length - 1;
    const next = { ArrowRight: place === last ? 0 : place + 1, ArrowLeft: place ? place - 1 : last, Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    openTab(tabs[next].getAttribute("aria-controls"));
    tabs[next].focus();
  });
});

function trouble(reason) {
  byId("trouble").textContent = `A picture of this page could not be drawn (${reason}). The text and the tables are complete; a newer browser may draw it.`;
  byId("trouble").hidden = false;
}
addEventListener("error", (event) => trouble(event.message));
addEventListener("unhandledrejection", (event) => trouble(event.reason));

dark.addEventListener("change", () => {
  all("canvas[data-key]").forEach((canvas) => drawSmall(canvas, canvas.dataset.key));
  if (view.colouring) showMap();
  if (plotly) drawCharts();
});
// Not plotly's own way, which takes a chart's height away.
let resized = 0;
addEventListener("resize", () => {
  redraw();
  clearTimeout(resized);
  if (plotly && !byId("quality").hidden) resized = setTimeout(drawCharts, 150);
});

document.documentElement.classList.add("js");
fillChoices();
openTab("overview");
startTree();
