// The charts of the tab "Quality": plotly.js is unpacked when the tab is first opened.

let plotly = null;
function loadPlotly() {
  plotly ??= (async () => {
    const code = new TextDecoder().decode(await unpack(byId("plotly").textContent));
    document.head.append(element("script", {}, code));
    return window.Plotly;
  })();
  return plotly;
}

// Told apart with every kind of colour vision (Okabe & Ito).
const HUES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#a8970a", "#7b5ea7"];

// Names of colours become those of the theme, wherever they stand.
function themed(value) {
  if (Array.isArray(value)) return value.map(themed);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, themed(part)]));
  if (value === "faint") return dark.matches ? "rgba(170,180,190,.32)" : "rgba(90,100,110,.25)";
  if (value === "text") return style("--text");
  if (value === "cells") return ramp().filter((_, step) => step % 15 === 0).map((name, k, every) => [k / (every.length - 1), name]);
  if (typeof value === "string" && /^c\d$/.test(value)) return HUES[Number(value[1])];
  return value;
}

function layoutOf(chart, width) {
  const axis = { gridcolor: style("--grid"), zerolinecolor: style("--line"), automargin: true, fixedrange: true };
  const own = themed(chart.layout);
  return {
    height: 420, ...(width && { width }), margin: { l: 55, r: 20, t: 15, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: style("--text"), family: getComputedStyle(document.documentElement).fontFamily, size: 12 },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, barmode: "overlay", ...own,
    xaxis: { ...axis, ...own.xaxis }, yaxis: { ...axis, ...own.yaxis }, ...(own.yaxis2 && { yaxis2: { ...axis, ...own.yaxis2 } }),
  };
}

const LONGEST = 24; // letters of a name: longer ones would leave no room for what they stand beside
const first = (name) => name.split(" ")[0];
const cut = (name) => (name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name);
// Names stay different: each begins with its program's number.
function shorten(trace, short) {
  if (trace.node) trace.node.label = trace.node.label.map(short);
  else if (trace.type === "heatmap") trace.x = trace.x.map(short);
  else if (trace.type === "bar") trace.x = [trace.x[0], trace.x[1].map(short)];
}

async function drawCharts() {
  const library = await loadPlotly();
  for (const place of all("[data-chart]")) {
    const chart = data.charts[Number(place.dataset.chart)];
    const traces = themed(chart.traces);
    // Beside each other only the numbers have room; the names are in the table.
    traces.forEach((trace) => shorten(trace, place.clientWidth < 600 ? first : cut));
    await library.react(place, traces, layoutOf(chart, place.clientWidth), { displayModeBar: false });
    place.dataset.drawn = "yes";
    await new Promise((next) => setTimeout(next));
  }
}
