// The legend over the map: a chip for each value, or a histogram in the colours of a score. It shows what the server
// says is chosen, and sends what is clicked.

const BARS_HEIGHT = 28;

function drawLegend(map) {
  const title = document.createElement("span");
  title.className = "ftft-map-title";
  title.textContent = map.colours.title;
  const focused = map.legend.contains(document.activeElement) ? document.activeElement.dataset.value : undefined;
  map.legend.replaceChildren(title, ...(map.colours.kind === "classes" ? chips(map) : scoreBars(map)));
  // What one row can't hold stands in two low ones, and only where they can't hold it either without its counts.
  map.legend.classList.remove("ftft-map-tight", "ftft-map-tightest");
  map.legend.classList.toggle("ftft-map-tight", map.legend.scrollWidth > map.legend.clientWidth);
  map.legend.classList.toggle("ftft-map-tightest", map.legend.scrollHeight > map.legend.clientHeight);
  if (focused !== undefined) [...map.legend.children].find((part) => part.dataset.value === focused)?.focus();
}

function chips(map) {
  const active = new Set(map.data.legend_active || []);
  return map.colours.chips.map((chip) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "ftft-map-chip";
    button.dataset.value = chip.name;
    button.style.setProperty("--chip", chipColour(chip, map.data.theme));
    button.setAttribute("aria-pressed", String(chip.values.length > 0 && chip.values.every((value) => active.has(value))));
    const stands = chip.values.length > 1 ? chip.values.slice(0, 40).join(", ") : chip.name;
    button.title = `${stands}: ${grouped(chip.count)} examples`;
    if (chip.values.length > 1) button.title += "\nThe most frequent have colours, and those before them that a condition names";
    const name = document.createElement("span");
    name.textContent = chip.name.length > 26 ? `${chip.name.slice(0, 25)}…` : chip.name;
    const count = document.createElement("small");
    count.textContent = grouped(chip.count);
    button.append(name, count);
    if (chip.values.length) button.onclick = () => send(map, "legend", { values: chip.values });
    return button;
  });
}

// First and last chosen bar; null where none is.
function chosenBars(map) {
  const range = map.data.legend_active;
  if (!range) return null;
  const [low, high] = [range[0] ?? -Infinity, range[1] ?? Infinity];
  const slack = (map.colours.limits[1] - map.colours.limits[0]) * 1e-6;
  const inside = map.colours.bars.map(([from, to]) => from >= low - slack && to <= high + slack);
  return inside.includes(true) ? [inside.indexOf(true), inside.lastIndexOf(true)] : null;
}

function scoreBars(map) {
  const { bars, counts, limits } = map.colours;
  const colours = bars.map(([from, to]) => css(mixed(map.data.theme[map.colours.scale], ((from + to) / 2 - limits[0]) / (limits[1] - limits[0]))));
  const strip = element("svg", { class: "ftft-map-bars", "data-value": "", tabindex: 0, role: "application", "aria-label": `Choose by ${map.colours.title}: arrow keys, Shift to widen, Enter` });
  const most = Math.max(...counts, 1);
  let [marked, anchor] = [chosenBars(map), null];
  const paint = () => {
    const width = strip.clientWidth || 264;
    const step = width / bars.length;
    strip.replaceChildren(
      ...bars.flatMap((_, index) => {
        const tall = counts[index] ? Math.max(Math.sqrt(counts[index] / most) * (BARS_HEIGHT - 9), 2) : 0;
        const opacity = !marked || (index >= marked[0] && index <= marked[1]) ? 1 : 0.3;
        const at = { x: index * step + 0.5, width: step - 1, fill: colours[index], opacity };
        return [
          element("rect", { ...at, y: BARS_HEIGHT - 7 - tall, height: tall }),
          element("rect", { ...at, y: BARS_HEIGHT - 5, height: 4, x: index * step, width: step + 0.2 }),
        ];
      })
    );
  };
  const barAt = (event) => {
    const bounds = strip.getBoundingClientRect();
    return Math.min(Math.max(Math.floor(((event.clientX - bounds.left) / bounds.width) * bars.length), 0), bars.length - 1);
  };
  const mark = (bar) => {
    marked = [Math.min(anchor, bar), Math.max(anchor, bar)];
    paint();
  };
  const choose = () => send(map, "legend", { first: marked[0], last: marked[1] });
  strip.onpointerdown = (event) => {
    strip.setPointerCapture(event.pointerId);
    anchor = barAt(event);
    mark(anchor);
  };
  strip.onpointermove = (event) => {
    if (strip.hasPointerCapture(event.pointerId)) mark(barAt(event));
    const [from, to] = bars[barAt(event)];
    strip.replaceChildren(...strip.children, element("title", {}, `${map.colours.title} ${from === to ? said(from) : `${said(from)} to ${said(to)}`}: ${grouped(counts[barAt(event)])}`));
  };
  strip.onpointerup = choose;
  strip.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      const from = marked ? (step < 0 ? marked[0] : marked[1]) : step < 0 ? bars.length : -1;
      const bar = Math.min(Math.max(from + step, 0), bars.length - 1);
      if (!event.shiftKey || anchor === null) anchor = bar;
      mark(bar);
      event.preventDefault();
    } else if (event.key === "Enter" && marked) choose();
  };
  const end = (value) => {
    const words = document.createElement("span");
    words.className = "ftft-map-quiet";
    words.textContent = said(value);
    return words;
  };
  requestAnimationFrame(paint);
  return [end(map.colours.ends[0]), strip, end(map.colours.ends[1])];
}
