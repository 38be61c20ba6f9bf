// From the pointer and the keys to events: outlines in data coordinates, clicks, zoom, undo.

const NEAR_CLICK = 9;
const NEAR_HOVER = 12;
const STILL = 4; // pixels that a click may move
const MOST_CORNERS = 120;
const KEYS = { l: "lasso", b: "box", z: "zoom", p: "pan" };

// Douglas and Peucker: leave out corners nearer than `tolerance` to the line without them.
function simplified(points, tolerance) {
  const kept = new Uint8Array(points.length);
  kept[0] = kept[points.length - 1] = 1;
  const open = [[0, points.length - 1]];
  while (open.length) {
    const [first, last] = open.pop();
    const [[x0, y0], [x1, y1]] = [points[first], points[last]];
    const length = Math.hypot(x1 - x0, y1 - y0);
    let [farthest, distance] = [-1, tolerance];
    for (let index = first + 1; index < last; index += 1) {
      const [x, y] = points[index];
      const away = length ? Math.abs((x1 - x0) * (y0 - y) - (x0 - x) * (y1 - y0)) / length : Math.hypot(x - x0, y - y0);
      if (away > distance) [farthest, distance] = [index, away];
    }
    if (farthest > 0) {
      kept[farthest] = 1;
      open.push([first, farthest], [farthest, last]);
    }
  }
  return points.filter((_, index) => kept[index]);
}

function cornersOf(path) {
  let tolerance = 0.5;
  let corners = simplified(path, tolerance);
  while (corners.length > MOST_CORNERS) corners = simplified(path, (tolerance *= 1.3));
  return corners;
}

const wayOf = (map, event) => (event.altKey ? "subtract" : event.shiftKey ? "add" : map.way);

function inArea(map, event) {
  const bounds = map.plot.getBoundingClientRect();
  const { left, top, width, height } = map.area;
  const at = [event.clientX - bounds.left - left, event.clientY - bounds.top - top];
  return { at, inside: at[0] >= 0 && at[1] >= 0 && at[0] <= width && at[1] <= height };
}

const clamped = (map, [x, y]) => [Math.min(Math.max(x, 0), map.area.width), Math.min(Math.max(y, 0), map.area.height)];
const corners4 = ([x0, y0], [x1, y1]) => [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];

function begin(map, event) {
  const { at, inside } = inArea(map, event);
  if (event.button !== 0 || !inside || !map.places) return;
  event.preventDefault(); // no selection of text, no lost keys
  map.plot.focus({ preventScroll: true, focusVisible: false });
  map.plot.setPointerCapture(event.pointerId);
  stopHover(map);
  map.gesture = { mode: map.mode, start: at, trace: [at], view: map.view, dashed: wayOf(map, event) === "subtract", moved: false };
}

function follow(map, event) {
  const gesture = map.gesture;
  if (!gesture) return hover(map, event);
  const at = clamped(map, inArea(map, event).at);
  if (Math.hypot(at[0] - gesture.start[0], at[1] - gesture.start[1]) > STILL) gesture.moved = true;
  if (gesture.mode === "lasso") {
    for (const passed of event.getCoalescedEvents?.() || []) gesture.trace.push(clamped(map, inArea(map, passed).at));
    gesture.trace.push(at);
    gesture.path = gesture.trace;
  } else if (gesture.mode === "pan") {
    const [moveX, moveY] = [at[0] - gesture.start[0], at[1] - gesture.start[1]];
    const [perX, perY] = [
      (gesture.view.x[1] - gesture.view.x[0]) / map.area.width,
      (gesture.view.y[1] - gesture.view.y[0]) / map.area.height,
    ];
    setView(map, {
      x: gesture.view.x.map((end) => end - moveX * perX),
      y: gesture.view.y.map((end) => end + moveY * perY),
    });
  } else {
    gesture.path = corners4(gesture.start, at);
  }
  map.draw("over");
}

function end(map, event) {
  const gesture = map.gesture;
  map.gesture = null;
  if (!gesture) return;
  const at = clamped(map, inArea(map, event).at);
  if (!gesture.moved) click(map, event, at);
  else if (gesture.mode === "zoom") zoomTo(map, gesture.start, at);
  else if (gesture.mode !== "pan") finish(map, gesture, at, wayOf(map, event));
  map.draw("over");
}

function finish(map, gesture, at, mode) {
  const [x, y] = map.places.axes;
  let outline;
  if (gesture.mode === "box") {
    const [first, last] = [point(map, gesture.start), point(map, at)];
    const range = (axis) => [first[axis], last[axis]].sort((one, other) => one - other);
    outline = { kind: "box", x, y, x_range: range(0), y_range: range(1) };
    if (outline.x_range[0] === outline.x_range[1] || outline.y_range[0] === outline.y_range[1]) return;
  } else {
    const corners = cornersOf(gesture.trace);
    const last = corners[corners.length - 1];
    // Back where it began, the pointer has closed the outline and made no corner more.
    if (corners.length > 3 && Math.hypot(last[0] - corners[0][0], last[1] - corners[0][1]) <= STILL) corners.pop();
    const points = corners.map((corner) => point(map, corner));
    if (points.length < 3) return;
    outline = { kind: "polygon", x, y, points };
  }
  const number = send(map, "gesture", { ...outline, mode });
  map.pending = { ...outline, mode, number };
  setWay(map, "replace");
}

function zoomTo(map, start, at) {
  const [[x0, y0], [x1, y1]] = [start, at];
  if (Math.abs(x1 - x0) < 8 || Math.abs(y1 - y0) < 8) return;
  const sorted = (one, other) => (one < other ? [one, other] : [other, one]);
  setView(map, { x: sorted(dataX(map, x0), dataX(map, x1)), y: sorted(dataY(map, y0), dataY(map, y1)) });
}

function click(map, event, at) {
  const index = nearest(map, at, NEAR_CLICK);
  if (index >= 0) send(map, "clicked", { row: map.places.rows[index], additive: event.shiftKey });
}

function doubleClick(map, event) {
  const { at, inside } = inArea(map, event);
  if (!inside) return;
  if (map.mode === "zoom" || map.mode === "pan") setView(map, wholeView(map));
  else if (nearest(map, at, NEAR_CLICK) < 0) send(map, "cleared", null);
}

// Zoom around the pointer; only with Ctrl (which a pinch sends too), so that the page can still be scrolled.
function wheel(map, event) {
  if (!event.ctrlKey || !map.places) return;
  event.preventDefault();
  const { at } = inArea(map, event);
  const factor = Math.exp(Math.min(Math.max(event.deltaY, -60), 60) / 200);
  const around = (range, centre) => range.map((end) => centre + (end - centre) * factor);
  const whole = wholeView(map);
  const view = { x: around(map.view.x, dataX(map, at[0])), y: around(map.view.y, dataY(map, at[1])) };
  setView(map, view.x[1] - view.x[0] >= whole.x[1] - whole.x[0] ? whole : view);
}

function hover(map, event) {
  if (!map.places || event.pointerType === "touch") return;
  const { at, inside } = inArea(map, event);
  const index = inside ? nearest(map, at, NEAR_HOVER) : -1;
  if (index < 0) return stopHover(map);
  if (index === map.hovered) return;
  map.hovered = index;
  const { x, y } = map.shown;
  const lines = [`${map.places.titles[0]} ${said(x[index])}`, `${map.places.titles[1]} ${said(y[index])}`];
  if (!map.places.axes.includes(map.colours.name)) {
    const value = map.colours.values[index];
    const words = map.colours.kind === "score" ? said(value) : (map.colours.chips[value] || { name: "none" }).name;
    lines.push(`${map.colours.title} ${words}`);
  }
  map.tip.textContent = lines.join("\n");
  map.tip.hidden = false;
  const [left, top] = [map.area.left + across(map, x[index]), map.area.top + down(map, y[index])];
  const isFarRight = left > map.area.left + map.area.width * 0.7;
  map.tip.style.left = `${isFarRight ? left - map.tip.offsetWidth - 12 : left + 12}px`;
  map.tip.style.top = `${Math.max(top - map.tip.offsetHeight / 2, 0)}px`;
  map.draw("over");
}

function stopHover(map) {
  if (map.hovered < 0) return;
  map.hovered = -1;
  map.tip.hidden = true;
  map.draw("over");
}

function setMode(map, mode) {
  map.mode = map.memory.mode = mode;
  for (const button of map.host.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  map.plot.style.cursor = mode === "pan" ? "grab" : "crosshair";
}

function setWay(map, way) {
  map.way = way;
  for (const button of map.host.querySelectorAll("[data-way]")) button.setAttribute("aria-pressed", String(button.dataset.way === way));
}

const isTyping = (target) => target instanceof Element && target.closest("input:not([type=range]), textarea, select, [contenteditable], [role=combobox], [role=dialog]");

function pressed(map, event) {
  if (!map.host.isConnected || isTyping(event.target) || !map.places) return;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    // Of several maps only that which was touched last answers.
    if (key !== "z" || lastTouched !== map || event.altKey) return;
    event.preventDefault();
    send(map, event.shiftKey ? "redo" : "undo", null);
  } else if (event.altKey) {
    return;
  } else if (KEYS[key]) {
    setMode(map, KEYS[key]);
  } else if (event.key === "Escape" && map.gesture) {
    map.gesture = null;
    map.draw("over");
  } else if (event.key === "Escape" && lastTouched === map && (event.target === document.body || map.host.contains(event.target))) {
    send(map, "cleared", null);
  }
}

let lastTouched = null;

function listen(map) {
  const { plot } = map;
  plot.addEventListener("pointerdown", (event) => begin(map, event));
  plot.addEventListener("pointermove", (event) => follow(map, event));
  plot.addEventListener("pointerup", (event) => end(map, event));
  plot.addEventListener("pointercancel", () => (map.gesture = null));
  plot.addEventListener("pointerleave", () => stopHover(map));
  plot.addEventListener("dblclick", (event) => doubleClick(map, event));
  plot.addEventListener("wheel", (event) => wheel(map, event), { passive: false });
  map.host.addEventListener("pointerdown", () => (lastTouched = map), true);
  const keys = (event) => pressed(map, event);
  document.addEventListener("keydown", keys);
  for (const button of map.host.querySelectorAll("[data-mode]")) button.onclick = () => setMode(map, button.dataset.mode);
  for (const button of map.host.querySelectorAll("[data-way]")) {
    button.onclick = () => setWay(map, map.way === button.dataset.way ? "replace" : button.dataset.way);
  }
  map.whole.onclick = () => setView(map, wholeView(map));
  lastTouched ??= map;
  return () => {
    document.removeEventListener("keydown", keys);
    if (lastTouched === map) lastTouched = null;
  };
}
