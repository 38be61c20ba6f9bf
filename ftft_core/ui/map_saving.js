// Saving the map as a figure for a paper: a Plotly figure of what is in view, in the light theme, made off screen.
// Plotly.js is fetched only now; every point is a vector in the SVG.

const FIGURE = { width: 760, height: 640 };
const PNG_SCALE = 3;
const FONT = "Helvetica, Arial, sans-serif";
const MAP = [0, 0.79]; // shares of the width: map, histogram of y, histogram of correctness
const BESIDE = [0.8, 0.86];
const CORRECTNESS = [0.92, 1];

let plotly = null;

function loadPlotly(url) {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      plotly = null;
      reject(new Error("Plotly could not be loaded"));
    };
    document.head.appendChild(script);
  });
  return plotly;
}

// Text from data as Plotly shows it literally: no tags, no entities, no LaTeX.
const literal = (words) => words.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/\$/g, "&#36;");

function pointTraces(map, theme) {
  const { places, colours } = map;
  const selected = map.data.selected && unpackBits(map.data.selected.points, places.rows.length);
  const shades = shadesOf(colours);
  const colours256 = palette(colours, theme).map(css);
  const [[x0, x1], [y0, y1]] = [map.view.x, map.view.y];
  const pick = (wanted) => {
    const found = [];
    for (let index = 0; index < places.x.length; index += 1) {
      const [x, y] = [places.x[index], places.y[index]];
      if (x >= x0 && x <= x1 && y >= y0 && y <= y1 && (wanted === null || selected[index] === wanted)) found.push(index);
    }
    return found;
  };
  const trace = (indices, opacity) => ({
    type: "scatter",
    mode: "markers",
    x: indices.map((index) => places.x[index]),
    y: indices.map((index) => places.y[index]),
    marker: { color: indices.map((index) => colours256[shades[index]]), size: 2 * pointRadius(places.x.length), opacity, line: { width: 0 } },
    showlegend: false,
  });
  if (!selected) return [trace(pick(null), 0.8)];
  return [trace(pick(0), 0.13), trace(pick(1), 0.95)];
}

function crossTraces(map) {
  const { places } = map;
  const bits = map.data.crossed && unpackBits(map.data.crossed, places.rows.length);
  if (!bits) return [];
  const rows = [...bits.keys()].filter((index) => bits[index]);
  const marker = { symbol: "x-thin", size: 2 * pointRadius(places.x.length) + 1, line: { width: 1.1, color: "#222222" } };
  const [x, y] = [rows.map((index) => places.x[index]), rows.map((index) => places.y[index])];
  return [{ type: "scatter", mode: "markers", x, y, marker, showlegend: false }];
}

function keyTraces(map, theme) {
  const nothing = { type: "scatter", mode: "markers", x: [null], y: [null] };
  const { colours } = map;
  if (colours.kind === "classes") {
    return colours.chips.map((chip) => ({ ...nothing, name: literal(chip.name), marker: { color: chipColour(chip, theme), size: 9 } }));
  }
  const scale = theme[colours.scale];
  return [
    {
      ...nothing,
      showlegend: false,
      marker: {
        color: [colours.limits[0]],
        cmin: colours.limits[0],
        cmax: colours.limits[1],
        colorscale: scale.map((colour, index) => [index / (scale.length - 1), colour]),
        showscale: true,
        colorbar: {
          orientation: "h", x: 0, xanchor: "left", y: 1.01, yanchor: "bottom", len: 0.36, thickness: 8, outlinewidth: 0, nticks: 5,
          title: { text: literal(colours.title), side: "top", font: { size: 13 } },
        },
      },
    },
  ];
}

function densityTrace(map, theme) {
  const { density, density_cells: cells, density_window: shown } = map.places;
  if (!density) return [];
  const z = Array.from({ length: cells }, (_, row) => Array.from(density.subarray(row * cells, (row + 1) * cells), (much) => much || null));
  const [stepX, stepY] = [(shown[1] - shown[0]) / cells, (shown[3] - shown[2]) / cells];
  const colorscale = theme.density.map((colour, index) => [index, colour]);
  return [{ type: "heatmap", z, x0: shown[0] + stepX / 2, dx: stepX, y0: shown[2] + stepY / 2, dy: stepY, colorscale, showscale: false }];
}

function barTraces(map, theme) {
  const { places } = map;
  const chosen = map.data.selected;
  const centres = (range, count) => Array.from({ length: count }, (_, index) => range[0] + ((range[1] - range[0]) * (index + 0.5)) / count);
  const bars = (counts, kind, marker) => {
    const common = { type: "bar", marker: { ...marker, line: { width: 0 } }, showlegend: false };
    if (kind === "x") return { ...common, x: centres(places.ranges[0], counts.length), y: [...counts], xaxis: "x4", yaxis: "y2" };
    if (kind === "y") return { ...common, y: centres(places.ranges[1], counts.length), x: [...counts], xaxis: "x2", yaxis: "y4", orientation: "h" };
    return { ...common, y: places.correctness_names, x: [...counts], xaxis: "x3", yaxis: "y3", orientation: "h" };
  };
  const all = [["x", places.x_counts], ["y", places.y_counts], ["correctness", places.correctness_counts]];
  const traces = all.map(([kind, counts]) => bars(counts, kind, { color: theme.fill }));
  if (chosen) traces.push(...all.map(([kind]) => bars(chosen[kind], kind, { color: theme.accent })));
  return traces;
}

function shapes(map, theme) {
  return map.data.outlines.map((outline) => {
    const line = { color: outline.dashed ? theme.muted : theme.accent, width: 1.3, dash: outline.dashed ? "dash" : "solid" };
    if (outline.kind === "box") {
      const [[x0, x1], [y0, y1]] = [outline.x_range, outline.y_range];
      return { type: "rect", x0, x1, y0, y1, line };
    }
    return { type: "path", path: `M${outline.points.map((pair) => pair.join(",")).join("L")}Z`, line };
  });
}

function paperFigure(map) {
  const theme = map.data.print_theme;
  const { places } = map;
  const ink = { color: "#222222", family: FONT, size: 13 };
  const axis = { showline: true, mirror: true, linecolor: "#888888", gridcolor: theme.grid, zeroline: false, ticks: "outside", ticklen: 3, tickcolor: "#888888" };
  const hidden = { visible: false };
  const note = { xref: "paper", yref: "paper", showarrow: false };
  const regions = places.regions && isWhole(map) ? REGIONS : [];
  const layout = {
    width: FIGURE.width,
    height: FIGURE.height,
    font: ink,
    paper_bgcolor: "#ffffff",
    plot_bgcolor: "#ffffff",
    margin: { l: 68, r: 14, t: 84, b: 54, autoexpand: false },
    barmode: "overlay",
    bargap: 0.12,
    showlegend: map.colours.kind === "classes",
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", itemsizing: "constant" },
    xaxis: { ...axis, domain: MAP, range: map.view.x, title: { text: literal(places.titles[0]), standoff: 8 } },
    yaxis: { ...axis, domain: [0, 0.88], range: map.view.y, title: { text: literal(places.titles[1]), standoff: 8 } },
    xaxis4: { ...hidden, domain: MAP, range: map.view.x, anchor: "y2" },
    yaxis2: { ...hidden, domain: [0.89, 1], anchor: "x4" },
    xaxis2: { ...hidden, domain: BESIDE, anchor: "y4" },
    yaxis4: { ...hidden, domain: [0, 0.88], range: map.view.y, anchor: "x2" },
    xaxis3: { ...hidden, domain: CORRECTNESS, anchor: "y3" },
    yaxis3: { domain: [0, 0.88], anchor: "x3", showgrid: false, zeroline: false, type: "category", tickfont: { size: 11 } },
    shapes: shapes(map, theme),
    annotations: [
      ...regions.map(([text, x, y, anchor]) => ({
        ...note, text, x: MAP[1] * x, y: 0.88 * (1 - y), xanchor: anchor === "end" ? "right" : "left", yanchor: "middle", bgcolor: "rgba(255,255,255,0.7)", font: { ...ink, size: 14, color: "#444444" },
      })),
      ...(map.data.crossed ? [{ ...note, text: "× excluded from training", x: 1, y: 1, xanchor: "right", yanchor: "bottom", yshift: 22, font: { ...ink, size: 12 } }] : []),
      { ...note, text: "correct epochs", x: 1, y: 0, xanchor: "right", yanchor: "top", yshift: -4, font: { ...ink, size: 12 } },
    ],
  };
  return { data: [...densityTrace(map, theme), ...pointTraces(map, theme), ...crossTraces(map), ...barTraces(map, theme), ...keyTraces(map, theme)], layout, config: { staticPlot: true } };
}

async function saveFigure(map, format) {
  if (!map.data.plotly.url) throw new Error(map.data.plotly.problem);
  const Plotly = await loadPlotly(map.data.plotly.url);
  const size = { format, width: FIGURE.width, height: FIGURE.height, scale: format === "png" ? PNG_SCALE : 1 };
  const image = await Plotly.toImage(paperFigure(map), size);
  const link = document.createElement("a");
  link.href = image;
  link.download = `${map.data.file_name}.${format}`;
  link.click();
}

function listenSaving(map) {
  const menu = map.host.querySelector(".ftft-map-save");
  const title = menu.querySelector("summary");
  const usual = title.textContent;
  for (const button of menu.querySelectorAll("[data-format]")) {
    button.onclick = async () => {
      menu.open = false;
      title.textContent = "Saving…";
      try {
        await saveFigure(map, button.dataset.format);
        title.textContent = usual;
      } catch (error) {
        title.textContent = "Not saved";
        title.title = error.message;
        map.host.querySelector(".ftft-map-remarks").textContent = error.message;
      }
    };
  }
  menu.addEventListener("focusout", (event) => menu.contains(event.relatedTarget) || (menu.open = false));
}
