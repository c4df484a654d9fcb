// What all parts of the page share: the data, elements, unpacking, colours.

const data = JSON.parse(document.getElementById("data").textContent);
const cards = new Map(data.cards.map((card) => [card.id, card]));
const byId = (id) => document.getElementById(id);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const grouped = new Intl.NumberFormat("en");
const dark = matchMedia("(prefers-color-scheme: dark)");

// An element with properties and children; text is always text, never markup.
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const unpacked = new Map();
// The bytes behind a packed text: base64 of zlib.
function unpack(text) {
  if (!unpacked.has(text)) unpacked.set(text, inflate(text));
  return unpacked.get(text);
}

async function inflate(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

const steps = async (text) => new Uint8Array(await unpack(text));
const wide = async (text) => new Uint16Array(await unpack(text));
const words = async (text) => new TextDecoder().decode(await unpack(text)).split("\n");

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Deep colours are not seen on black.
const seen = (colour) => (dark.matches ? `color-mix(in oklab, ${colour} 78%, white)` : colour);

// From nothing to most, 256 colours: pale to deep on white, deep to bright on black.
const RAMPS = {
  light: [[217, 220, 225], [250, 194, 135], [232, 100, 85], [150, 40, 120], [45, 17, 90]],
  dark: [[58, 64, 72], [105, 60, 130], [200, 75, 105], [250, 150, 90], [252, 240, 170]],
};
function ramp() {
  const stops = RAMPS[dark.matches ? "dark" : "light"];
  return Array.from({ length: 256 }, (_, step) => {
    const place = (step / 255) * (stops.length - 1);
    const first = Math.min(Math.floor(place), stops.length - 2);
    const mixed = stops[first].map((low, k) => low + (stops[first + 1][k] - low) * (place - first));
    return `rgb(${mixed.map(Math.round).join(" ")})`;
  });
}

const percent = (share) =>
  share > 0 && share < 0.1 ? `${(100 * share).toFixed(1)} %` : `${Math.round(100 * share)} %`;
