// Files from the server and the numbers in them: a header, then arrays, as `figures/packing.py` writes them.

const KINDS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };
const MAX_FILES = 12;
const files = new Map(); // address -> promise of what it holds, the oldest first

function fetchFile(url) {
  if (files.has(url)) return files.get(url);
  const file = fetch(url)
    .then((answer) => {
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      return answer.arrayBuffer();
    })
    .then(unpack);
  file.catch(() => files.delete(url));
  files.set(url, file);
  if (files.size > MAX_FILES) files.delete(files.keys().next().value);
  return file;
}

function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const found = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  for (const [name, [kind, offset, size]] of Object.entries(found.arrays)) {
    found[name] = new KINDS[kind](buffer, 4 + length + offset, size);
  }
  return found;
}

// One bit a drawn point, the lowest bit first.
function unpackBits(text, size) {
  const letters = atob(text);
  const bits = new Uint8Array(size);
  for (let index = 0; index < size; index += 1) bits[index] = (letters.charCodeAt(index >> 3) >> (index & 7)) & 1;
  return bits;
}

function channels(colour) {
  return [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
}

// Colour of the place `share` (0 to 1) of a scale of evenly spaced colours.
function mixed(colours, share) {
  const place = Math.min(Math.max(share, 0), 1) * (colours.length - 1);
  const first = Math.min(Math.floor(place), colours.length - 2);
  const [from, to] = [channels(colours[first]), channels(colours[first + 1])];
  return from.map((value, index) => Math.round(value + (to[index] - value) * (place - first)));
}

const css = ([red, green, blue]) => `rgb(${red},${green},${blue})`;

// The colour of a chip: its label colour, or the quiet one.
const chipColour = (chip, theme) => (chip.colour === null ? theme.other : theme.labels[chip.colour]);

const MISSING = 255;

// Number in the palette of every drawn point.
function shadesOf(colours) {
  if (colours.kind === "classes") return colours.values;
  const [low, high] = colours.limits;
  return Uint8Array.from(colours.values, (value) =>
    Number.isNaN(value) ? MISSING : Math.min(Math.max(Math.round(((value - low) / (high - low)) * 254), 0), 254)
  );
}

// 256 colours: of the chips, or steps of the score's scale; the last is that of missing values.
function palette(colours, theme) {
  const steps = Array.from({ length: 256 }, () => channels(theme.other));
  if (colours.kind === "classes") colours.chips.forEach((chip, index) => (steps[index] = channels(chipColour(chip, theme))));
  else for (let step = 0; step < 255; step += 1) steps[step] = mixed(theme[colours.scale], step / 254);
  return steps;
}

const grouped = (number) => number.toLocaleString("en-US");

// A score as a person reads it: three decimals, whole numbers as they are.
const said = (value) => (Number.isNaN(value) ? "none" : Number.isInteger(value) ? String(value) : value.toFixed(3));
