// A chart that changes in place: Plotly draws only what is other than before, so that nothing blinks or moves.

let plotly;

function loadPlotly(url) {
  plotly ??= window.Plotly ? Promise.resolve(window.Plotly) : new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      plotly = undefined;
      reject(new Error("plotly.min.js could not be loaded"));
    };
    document.head.append(script);
  });
  return plotly;
}

export default function ({ data, parentElement }) {
  const host = parentElement.querySelector(".ftft-chart");
  host.style.height = `${data.height}px`;
  host.setAttribute("aria-label", data.words);
  host.newest = data;
  loadPlotly(data.url)
    .then(async (Plotly) => {
      if (host.newest !== data || !host.isConnected) return;
      const { data: lines, layout } = JSON.parse(data.figure);
      await Plotly.react(host, lines, { ...layout, width: host.clientWidth || undefined }, { displayModeBar: false });
      host.dataset.drawn = Number(host.dataset.drawn || 0) + 1;
      host.watch ??= new ResizeObserver(() => host.clientWidth && Plotly.relayout(host, { width: host.clientWidth }));
      host.watch.observe(host);
    })
    .catch((error) => {
      host.textContent = `The chart could not be drawn: ${error.message}`;
    });
  // Streamlit also calls this for a message that a newer one overtook, with the chart still in place.
  return () => setTimeout(() => {
    if (host.isConnected) return;
    host.watch?.disconnect();
    window.Plotly?.purge(host);
  }, 0);
}
