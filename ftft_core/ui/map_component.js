// Draws the data map with Plotly and reports gestures as geometry in data coordinates, never as lists of points.
// Called anew whenever the server sends something: Plotly.react keeps zoom, and the outlines are carried over by hand.
// Which points are selected is the server's answer; until it comes, Plotly shows what lies inside the outline.

const MODES = { lasso: "Lasso", select: "Box", zoom: "Zoom", pan: "Pan" };
const CONFIG = { displayModeBar: false, responsive: false, doubleClick: "reset", scrollZoom: false };

function loadPlotly(url) {
  if (!window.ftftPlotly) {
    window.ftftPlotly = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = url;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => {
        window.ftftPlotly = undefined;
        reject(new Error("plotly.min.js could not be loaded"));
      };
      document.head.appendChild(script);
    });
  }
  return window.ftftPlotly;
}

function decodeIndices(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return Array.from(new Int32Array(bytes.buffer));
}

const short = (value) => Number(Number(value).toPrecision(9));

function corners(path) {
  return (path.match(/[-+.\deE]+,[-+.\deE]+/g) || []).map((pair) => pair.split(",").map(short));
}

// The outline drawn last, on the axes it was drawn on; null where there is none.
function geometry(plot, state) {
  const shape = (plot.layout.selections || []).at(-1);
  if (!shape) return null;
  const common = { ...state.data.axes, token: state.data.clear_token };
  if (shape.type === "rect") {
    return { ...common, kind: "box", x_range: [shape.x0, shape.x1].map(short), y_range: [shape.y0, shape.y1].map(short) };
  }
  const points = corners(shape.path);
  return points.length > 2 ? { ...common, kind: "polygon", points } : null;
}

function listen(plot, state) {
  plot.on("plotly_selected", () => state.send("selection", geometry(plot, state)));
  plot.on("plotly_deselect", () => state.send("selection", null));
  plot.on("plotly_click", (event) => {
    const point = event.points.find((candidate) => candidate.data.meta === "points");
    if (point) state.trigger("clicked", point.customdata);
  });
  plot.on("plotly_legendclick", (event) => {
    state.trigger("legend", event.data[event.curveNumber].meta.slice("legend:".length));
    return false;
  });
  plot.on("plotly_relayout", (change) => {
    if (!state.data.report_view || !Object.keys(change).some((name) => /^[xy]axis\.(range|autorange)/.test(name))) return;
    const whole = state.figure.layout;
    const [x, y] = [plot.layout.xaxis.range.map(short), plot.layout.yaxis.range.map(short)];
    const same = (a, b) => Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]) < 1e-9;
    const all = same(x, whole.xaxis.range) && same(y, whole.yaxis.range);
    state.send("view", all ? null : { ...state.data.axes, window: [...x, ...y] });
  });
}

function toolbar(host, plot, state, Plotly) {
  const bar = host.querySelector(".ftft-map-tools");
  for (const [mode, words] of Object.entries(MODES)) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    button.dataset.mode = mode;
    button.setAttribute("aria-pressed", String(mode === state.mode));
    button.onclick = () => {
      state.mode = mode;
      for (const other of bar.querySelectorAll("[data-mode]")) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      Plotly.relayout(plot, { dragmode: mode });
    };
    bar.appendChild(button);
  }
  const whole = document.createElement("button");
  whole.type = "button";
  whole.textContent = "Whole map";
  whole.className = "ftft-map-whole";
  whole.onclick = () => {
    const { xaxis, yaxis } = state.figure.layout;
    Plotly.relayout(plot, { "xaxis.range": [...xaxis.range], "yaxis.range": [...yaxis.range] });
  };
  bar.appendChild(whole);
}

async function draw(Plotly, host, state) {
  const data = state.data;
  const plot = host.querySelector(".ftft-map-plot");
  if (state.figureKey !== data.figure_key) {
    state.figure = JSON.parse(data.figure);
    state.figureKey = data.figure_key;
  }
  const kept = state.clearToken === data.clear_token ? ((plot.layout && plot.layout.selections) || []).slice(-1) : [];
  const sameAxes = !plot.layout || plot.layout.uirevision === state.figure.layout.uirevision;
  state.clearToken = data.clear_token;
  state.drawn = (state.drawn || 0) + 1;
  const traces = state.figure.data.map((trace) => {
    if (trace.meta === "points") {
      return { ...trace, selectedpoints: data.selected === null ? null : decodeIndices(data.selected) };
    }
    if (trace.meta === "x:selected") return { ...trace, y: data.marginals ? data.marginals.x : [] };
    if (trace.meta === "y:selected") return { ...trace, x: data.marginals ? data.marginals.y : [] };
    return { ...trace };
  });
  const layout = structuredClone(state.figure.layout);
  Object.assign(layout, {
    height: data.height,
    width: plot.clientWidth,
    dragmode: state.mode,
    selections: sameAxes ? kept : [],
    selectionrevision: state.drawn,
  });
  await Plotly.react(plot, traces, layout, CONFIG);
  if (!state.listening) {
    state.listening = true;
    listen(plot, state);
    toolbar(host, plot, state, Plotly);
    new ResizeObserver(() => {
      if (plot.clientWidth && Math.abs(plot.clientWidth - plot.layout.width) > 1) {
        Plotly.relayout(plot, { width: plot.clientWidth });
      }
    }).observe(plot);
  }
  host.dataset.drawn = String(state.drawn); // lets a test wait for the picture
}

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const host = parentElement.querySelector(".ftft-map");
  const state = (host.ftft ??= { mode: "lasso", queue: Promise.resolve() });
  Object.assign(state, { data, send: setStateValue, trigger: setTriggerValue });
  host.querySelector(".ftft-map-plot").style.minHeight = `${data.height}px`;
  state.queue = state.queue
    .then(() => loadPlotly(data.plotly_url))
    .then((Plotly) => draw(Plotly, host, state))
    .catch((error) => {
      host.querySelector(".ftft-map-plot").textContent = `The map could not be drawn: ${error.message}`;
    });
  return () => setTimeout(() => host.isConnected || (window.Plotly && window.Plotly.purge(host.querySelector(".ftft-map-plot"))), 0);
}
