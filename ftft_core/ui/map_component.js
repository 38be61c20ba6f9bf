// The component: what comes from the server goes to the parts that draw it, what they send goes back as numbered events.
// The parts (`map_*.js`) are joined into one file before this one. Selection and outlines are the server's answer; only
// the outline that was just drawn is shown until the answer comes.

const memories = (window.ftftMapMemories ??= new Map()); // key -> what stays when the page builds the map anew

function createMap(host, key) {
  const find = (name) => host.querySelector(`.ftft-map-${name}`);
  const memory = memories.get(key) || { number: 0, events: [], mode: "lasso", view: null };
  memories.set(key, memory);
  const map = {
    host, memory, mode: "lasso", way: "replace", hovered: -1, pending: null, gesture: null, index: null,
    asked: null, askedNumber: 0, wanted: null, playing: false, drawn: 0, failures: 0,
    plot: find("plot"), legend: find("legend"), whole: find("whole"), tip: find("tip"), epochs: find("epochs"),
    slider: host.querySelector("input"), canvases: { density: find("density"), points: find("points") },
    layers: { axes: find("axes"), over: find("over") },
  };
  map.draw = (part) => draw(map, part);
  map.toPixels = (points) => {
    const bounds = map.plot.getBoundingClientRect();
    return points.map(([x, y]) => [bounds.left + map.area.left + across(map, x), bounds.top + map.area.top + down(map, y)]);
  };
  const stop = listen(map);
  listenFoot(map);
  listenSaving(map);
  setMode(map, memory.mode);
  const observer = new ResizeObserver(() => map.places && map.plot.clientWidth && map.draw("view"));
  observer.observe(map.plot);
  map.leave = () => {
    stop();
    observer.disconnect();
    setPlaying(map, false);
  };
  return map;
}

// Numbers grow over reloads and over a map that is built anew, so that the server never takes a new event for an old one.
function send(map, event, value) {
  const number = Math.max(map.memory.number + 1, Date.now());
  map.memory.number = number;
  map.memory.events.push({ number, event, value });
  map.setState("events", [...map.memory.events]);
  return number;
}

// Draw a part, at most once a frame: the whole "view", the "selection", or only what lies "over" the points.
function draw(map, part) {
  map.parts = (map.parts || new Set()).add(part);
  map.frame ??= requestAnimationFrame(() => {
    const parts = map.parts;
    map.parts = map.frame = null;
    if (!map.places || !map.plot.clientWidth) return;
    const isView = parts.has("view");
    if (isView) {
      map.area = areaOf(map);
      map.index = null;
      drawDensity(map);
    }
    if (isView || parts.has("selection")) {
      map.canvases.density.style.opacity = map.shown.selected === null ? 1 : 0.55;
      drawPoints(map);
      drawAxes(map);
    }
    drawOver(map);
    if (isView || parts.has("selection")) tell(map);
  });
}

// What a test can wait for.
function tell(map) {
  const { selected } = map.shown;
  map.drawn += 1;
  Object.assign(map.host.dataset, {
    key: map.data.key,
    drawn: map.drawn,
    points: map.places.rows.length,
    selected: selected === null ? "" : selected.reduce((count, bit) => count + bit, 0),
    epochs: map.data.epochs[0],
    outlines: map.data.outlines.length,
    crossed: map.shown.crossed ? map.shown.crossed.reduce((count, bit) => count + bit, 0) : 0,
    answered: map.data.answered,
  });
}

async function receive(map, data) {
  map.newest = data;
  const others = ROWS.tools + ROWS.legend + ROWS.foot;
  // On a low window the map shrinks, so that it is whole on the first screen.
  map.plot.style.height = `max(${LOWEST - others}px, min(${data.height - others}px, 100vh - ${data.around + others}px))`;
  map.host.style.setProperty("--map-muted", data.theme.muted);
  map.host.style.setProperty("--map-line", data.theme.grid);
  map.memory.events = map.memory.events.filter((event) => event.number > data.answered);
  const [places, colours] = await Promise.all([fetchFile(data.places), fetchFile(data.colours)]);
  map.failures = 0;
  if (map.newest === data) show(map, data, places, colours);
}

function show(map, data, places, colours) {
  const before = map.places;
  const from = map.shown && { x: map.shown.x, y: map.shown.y };
  const isNewFigure = places !== before || colours !== map.colours;
  const isNewTheme = !map.data || map.data.theme.name !== data.theme.name;
  const isNewLegend = isNewFigure || isNewTheme || JSON.stringify(map.data.legend_active) !== JSON.stringify(data.legend_active);
  const glides = canGlide(map, before, places);
  Object.assign(map, { data, places, colours });
  if (map.pending && data.answered >= map.pending.number) map.pending = null;
  if (!before || before.axes.join() !== places.axes.join() || before.ranges.join() !== places.ranges.join()) restoreView(map);
  const selected = data.selected && unpackBits(data.selected.points, places.rows.length);
  if (isNewFigure || isNewTheme) {
    const colours256 = Uint8Array.from(palette(colours, data.theme).flat());
    map.shown = { x: places.x, y: places.y, shades: shadesOf(colours), colours256, selected };
    stopHover(map);
  } else map.shown.selected = selected;
  map.shown.crossed = data.crossed && unpackBits(data.crossed, places.rows.length);
  map.plot.setAttribute("aria-label", data.words);
  map.host.querySelector(".ftft-map-wait").hidden = true;
  drawFoot(map);
  if (isNewLegend) drawLegend(map);
  if (glides) {
    map.area ??= areaOf(map);
    glide(map, from, () => arrived(map));
  } else setTimeout(() => arrived(map), 0);
  map.draw(isNewFigure || isNewTheme ? "view" : "selection");
}

// The view of before, where the map has been built anew with the same axes; else the whole map.
function restoreView(map) {
  const { view } = map.memory;
  const [x, y] = map.places.axes;
  map.view = wholeView(map);
  if (view && view.axes === `${x},${y}`) map.view = { x: view.x, y: view.y };
  else if (map.data.window) map.view = { x: map.data.window.slice(0, 2), y: map.data.window.slice(2) };
  map.whole.disabled = isWhole(map);
}

export default function ({ data, parentElement, setStateValue }) {
  const host = parentElement.querySelector(".ftft-map");
  const map = (host.ftft ??= createMap(host, data.key));
  map.setState = setStateValue;
  receive(map, data).catch((error) => {
    if (map.newest !== data) return;
    // The server forgets files that no page names any more; asked again, it names them anew.
    map.failures += 1;
    if (map.failures < 4) send(map, "lost", null);
    else {
      const wait = host.querySelector(".ftft-map-wait");
      wait.hidden = false;
      wait.textContent = `The map could not be drawn: ${error.message}`;
    }
  });
  // Streamlit also calls this for a message that a newer one overtook, with the map still in place.
  return () => setTimeout(() => host.isConnected || map.leave(), 0);
}
