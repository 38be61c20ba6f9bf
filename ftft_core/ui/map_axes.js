// What stands around and over the points: axes, histograms, region names, outlines and rings, as SVG.

const SVG = "http://www.w3.org/2000/svg";
const REGIONS = [
  ["easy to learn", 0.02, 0.035, "start"],
  ["hard to learn", 0.02, 0.975, "start"],
  ["ambiguous", 0.985, 0.5, "end"],
];

function element(name, attributes, words) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  if (words !== undefined) made.textContent = words;
  return made;
}

const rectangles = (bars) => bars.map(([x, y, width, height]) => `M${x.toFixed(1)} ${y.toFixed(1)}h${width.toFixed(1)}v${height.toFixed(1)}h${(-width).toFixed(1)}z`).join("");

function drawAxes(map) {
  const { left, top, width, height } = map.area;
  const theme = map.data.theme;
  const parts = [];
  const line = (x1, y1, x2, y2) => parts.push(element("path", { d: `M${x1} ${y1}L${x2} ${y2}`, stroke: theme.grid }));
  const words = (text, x, y, anchor, more = {}) => parts.push(element("text", { x, y, "text-anchor": anchor, ...more }, text));
  for (const tick of ticks(map.view.x, Math.max(width / 80, 2))) {
    const at = left + across(map, tick.value);
    line(at, top, at, top + height);
    words(tick.words, at, top + height + 16, "middle");
  }
  for (const tick of ticks(map.view.y, Math.max(height / 48, 2))) {
    const at = top + down(map, tick.value);
    line(left, at, left + width, at);
    words(tick.words, left - 7, at + 4, "end");
  }
  parts.push(element("rect", { x: left, y: top, width, height, stroke: theme.grid }));
  const [titleX, titleY] = map.places.titles;
  words(titleX, left + width / 2, top + height + 36, "middle", { class: "ftft-map-axis" });
  words(titleY, 0, 0, "middle", { class: "ftft-map-axis", transform: `translate(12 ${top + height / 2}) rotate(-90)` });
  map.layers.axes.replaceChildren(...parts, ...histograms(map));
}

function histograms(map) {
  const { left, top, width, height, right } = map.area;
  const theme = map.data.theme;
  const chosen = map.data.selected;
  const [rangeX, rangeY] = map.places.ranges;
  const names = map.places.correctness_names;
  const sideways = right < MARGIN.right ? 34 : 46; // longest bar of the histogram of y
  const column = left + width + sideways + 40; // where the bars of correctness begin
  const longest = right - sideways - 44;
  const edge = (range, index, count) => range[0] + ((range[1] - range[0]) * index) / count;
  const draw = (counts, all, bar) => {
    const most = Math.max(...all, 1);
    return rectangles([...counts].map((count, index) => (count ? bar(index, count / most) : null)).filter((found) => found));
  };
  const barX = (index, share) => {
    const [from, to] = [across(map, edge(rangeX, index, map.places.x_counts.length)), across(map, edge(rangeX, index + 1, map.places.x_counts.length))];
    if (to <= 0 || from >= width) return null;
    const [start, end] = [Math.max(from, 0), Math.min(to, width)];
    return [left + start, top - 5 - share * (MARGIN.top - 9), Math.max(end - start - 1, 0.5), share * (MARGIN.top - 9)];
  };
  const barY = (index, share) => {
    const [to, from] = [down(map, edge(rangeY, index, map.places.y_counts.length)), down(map, edge(rangeY, index + 1, map.places.y_counts.length))];
    if (to <= 0 || from >= height) return null;
    const [start, end] = [Math.max(from, 0), Math.min(to, height)];
    return [left + width + 5, top + start, share * sideways, Math.max(end - start - 1, 0.5)];
  };
  const step = height / names.length;
  const thick = Math.min(step * 0.72, 34);
  const barC = (index, share) => [column, top + height - (index + 0.5) * step - thick / 2, share * longest, thick];
  const parts = [
    element("path", { d: draw(map.places.x_counts, map.places.x_counts, barX), fill: theme.fill }),
    element("path", { d: draw(map.places.y_counts, map.places.y_counts, barY), fill: theme.fill }),
    element("path", { d: draw(map.places.correctness_counts, map.places.correctness_counts, barC), fill: theme.fill, class: "ftft-map-correctness" }),
  ];
  if (chosen) {
    parts.push(
      element("path", { d: draw(chosen.x, map.places.x_counts, barX), fill: theme.accent }),
      element("path", { d: draw(chosen.y, map.places.y_counts, barY), fill: theme.accent }),
      element("path", { d: draw(chosen.correctness, map.places.correctness_counts, barC), fill: theme.accent })
    );
  }
  names.forEach((name, index) => parts.push(element("text", { x: column - 5, y: top + height - (index + 0.5) * step + 4, "text-anchor": "end" }, name)));
  parts.push(element("text", { x: left + width + right - 2, y: top + height + 16, "text-anchor": "end" }, "correct epochs"));
  return parts;
}

// The line of an outline in pixels of the map's area.
function outlinePath(map, outline) {
  if (outline.kind === "box") {
    const [[x0, x1], [y0, y1]] = [outline.x_range, outline.y_range];
    return linePath([[x0, y0], [x1, y0], [x1, y1], [x0, y1]].map(([x, y]) => [across(map, x), down(map, y)]));
  }
  return linePath(outline.points.map(([x, y]) => [across(map, x), down(map, y)]));
}

const linePath = (points) => (points.length ? `M${points.map((pair) => pair.map((pixel) => pixel.toFixed(1)).join(" ")).join("L")}z` : "");

function drawOver(map) {
  const { left, top, width, height } = map.area;
  const theme = map.data.theme;
  const inside = element("svg", { x: left, y: top, width, height, overflow: "hidden" });
  if (map.places.regions && isWhole(map)) {
    for (const [name, x, y, anchor] of REGIONS) {
      inside.append(element("text", { x: x * width, y: y * height, "text-anchor": anchor, class: "ftft-map-region" }, name));
    }
  }
  const outline = (shape, path) =>
    inside.append(
      element("path", {
        d: path,
        fill: shape.dashed ? "none" : theme.accent,
        "fill-opacity": 0.05,
        "fill-rule": "evenodd",
        stroke: shape.dashed ? theme.muted : theme.accent,
        "stroke-width": 1.4,
        "stroke-dasharray": shape.dashed ? "5 4" : "none",
        "stroke-linejoin": "round",
      })
    );
  for (const shape of map.data.outlines) outline(shape, outlinePath(map, shape));
  if (map.pending) outline({ dashed: map.pending.mode === "subtract" }, outlinePath(map, map.pending));
  if (map.gesture && map.gesture.path) outline({ dashed: map.gesture.dashed }, linePath(map.gesture.path));
  if (map.data.focus) ring(inside, across(map, map.data.focus[0]), down(map, map.data.focus[1]), 8, theme.text, theme.background);
  if (map.hovered >= 0) {
    const [x, y] = [map.shown.x[map.hovered], map.shown.y[map.hovered]];
    ring(inside, across(map, x), down(map, y), 6, theme.muted, theme.background);
  }
  map.layers.over.replaceChildren(inside);
}

function ring(inside, cx, cy, r, colour, halo) {
  inside.append(element("circle", { cx, cy, r, stroke: halo, "stroke-width": 4.5 }), element("circle", { cx, cy, r, stroke: colour, "stroke-width": 2 }));
}
