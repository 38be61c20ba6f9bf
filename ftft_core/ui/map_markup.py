"""Markup and style of the map component: tools, legend, map, foot.

Owns what stands where and how it looks; what it does is in `map_*.js`. Colours that come with the figure are set there
as custom properties, the others are Streamlit's.
"""

from __future__ import annotations


def _icon(path: str) -> str:
    return f'<svg viewBox="0 0 20 20" aria-hidden="true"><path d="{path}"/></svg>'


_TOOLS = (
    ("lasso", "Lasso", "Draw round examples (L)",
     "M10 3.5c4 0 7 1.9 7 4.4s-3 4.4-7 4.4-7-1.9-7-4.4 3-4.4 7-4.4ZM6.2 11.8c-1.4.6-1.8 2-.8 2.9 1 1 .6 1.9-.9 2.3"),
    ("box", "Box", "Draw a box around examples (B)", "M3.5 4.5h13v11h-13z"),
    ("zoom", "Zoom", "Draw a box to zoom into (Z)",
     "M8.5 3.5a5 5 0 1 1 0 10 5 5 0 0 1 0-10ZM12.3 12.3l4.2 4.2M6.3 8.5h4.4M8.5 6.3v4.4"),
    ("pan", "Pan", "Move what is in view (P)", "M10 3v14M3 10h14M8 5l2-2 2 2M8 15l2 2 2-2M5 8l-2 2 2 2M15 8l2 2-2 2"),
)  # fmt: skip

_WAYS = (
    ("add", "Add", "What is drawn next is added (or hold Shift)", "M10 4v12M4 10h12"),
    ("subtract", "Subtract", "What is drawn next is taken away (or hold Alt)", "M4 10h12"),
)


def _buttons(kind: str, buttons: tuple[tuple[str, str, str, str], ...]) -> str:
    return "".join(
        f'<button type="button" data-{kind}="{name}" title="{title}" aria-label="{words}" aria-pressed="false">'
        f"{_icon(path)}<span>{words}</span></button>"
        for name, words, title, path in buttons
    )


HTML = f"""
<div class="ftft-map">
  <div class="ftft-map-tools" role="toolbar" aria-label="Tools of the map">
    {_buttons("mode", _TOOLS)}<i></i>{_buttons("way", _WAYS)}
    <span class="ftft-map-gap"></span>
    <button type="button" class="ftft-map-whole" disabled title="Show the whole map">Whole map</button>
    <details class="ftft-map-save">
      <summary title="Save the map as a figure for a paper">Save figure</summary>
      <div role="menu">
        <button type="button" role="menuitem" data-format="svg">SVG</button>
        <button type="button" role="menuitem" data-format="png">PNG</button>
      </div>
    </details>
  </div>
  <div class="ftft-map-legend"></div>
  <div class="ftft-map-plot" role="img" tabindex="0">
    <svg class="ftft-map-axes" aria-hidden="true"></svg>
    <canvas class="ftft-map-density"></canvas>
    <canvas class="ftft-map-points"></canvas>
    <svg class="ftft-map-over" aria-hidden="true"></svg>
    <div class="ftft-map-tip" hidden></div>
    <div class="ftft-map-wait" role="status">Drawing the map…</div>
  </div>
  <div class="ftft-map-foot">
    <span class="ftft-map-remarks"></span>
    <div class="ftft-map-epochs" hidden>
      <button type="button" aria-label="Play" title="Play the epochs">{_icon("M6 4l10 6-10 6z")}</button>
      <input type="range" min="1" step="1" aria-label="Epochs counted">
      <output></output>
    </div>
  </div>
</div>
"""

CSS = """
.ftft-map { position: relative; width: 100%; font: 13px/20px var(--st-font); color: var(--st-text-color);
  container-type: inline-size; font-variant-numeric: tabular-nums; }
.ftft-map *, .ftft-map { box-sizing: border-box; }
.ftft-map button, .ftft-map summary { all: unset; box-sizing: border-box; cursor: pointer; border-radius: 4px;
  display: inline-flex; align-items: center; gap: 5px; height: 26px; padding: 0 8px; white-space: nowrap;
  color: var(--map-muted); }
.ftft-map button:hover, .ftft-map summary:hover { background: var(--st-secondary-background-color);
  color: var(--st-text-color); }
.ftft-map :is(button, summary, input, .ftft-map-plot, .ftft-map-bars):focus-visible {
  outline: 2px solid var(--st-primary-color); outline-offset: 1px; }
.ftft-map button[aria-pressed="true"] { color: var(--st-link-color);
  background: color-mix(in srgb, var(--st-primary-color) 11%, transparent); }
.ftft-map button:disabled { visibility: hidden; }
.ftft-map svg { fill: none; }
.ftft-map button svg { width: 16px; height: 16px; stroke: currentColor; stroke-width: 1.6; stroke-linecap: round;
  stroke-linejoin: round; }
.ftft-map-tools { display: flex; align-items: center; gap: 2px; height: 28px; }
.ftft-map-tools i { width: 1px; height: 16px; margin: 0 5px; background: var(--map-line); }
.ftft-map-gap { flex: 1; }
.ftft-map-save { position: relative; }
.ftft-map-save > div { position: absolute; right: 0; top: 28px; z-index: 5; display: flex; flex-direction: column;
  padding: 4px; min-width: 84px; border: 1px solid var(--map-line); border-radius: 6px;
  background: var(--st-background-color); box-shadow: 0 4px 14px rgb(0 0 0 / 14%); }
.ftft-map-legend { display: flex; align-items: center; gap: 2px; height: 36px; padding-bottom: 4px;
  overflow: auto hidden; scrollbar-width: none; }
.ftft-map .ftft-map-chip { gap: 6px; height: 24px; padding: 0 8px; border: 1px solid transparent;
  color: var(--st-text-color); flex: 0 0 auto; }
.ftft-map .ftft-map-chip[aria-pressed="true"] { color: var(--st-text-color); border-color: var(--st-primary-color); }
.ftft-map-chip::before { content: ""; width: 9px; height: 9px; border-radius: 50%; background: var(--chip); }
.ftft-map-chip small, .ftft-map-quiet { font-size: 12px; color: var(--map-muted); }
.ftft-map-tight { flex-wrap: wrap; gap: 0 2px; align-content: center; overflow: hidden auto; font-size: 12px; }
.ftft-map .ftft-map-tight .ftft-map-chip { height: 17px; padding: 0 6px; gap: 4px; }
.ftft-map-tightest .ftft-map-chip small { display: none; }
.ftft-map-title { color: var(--map-muted); margin-right: 8px; white-space: nowrap; }
.ftft-map-bars { height: 28px; width: 264px; cursor: crosshair; touch-action: none; flex: 0 0 auto; margin: 0 6px; }
.ftft-map-plot { position: relative; width: 100%; touch-action: none; user-select: none; border-radius: 4px; }
.ftft-map-plot > svg, .ftft-map-plot > canvas { position: absolute; left: 0; top: 0; }
.ftft-map-plot > svg { width: 100%; height: 100%; }
.ftft-map-over { overflow: hidden; }
.ftft-map-plot text { font: 12px var(--st-font); fill: var(--map-muted); }
.ftft-map-plot text.ftft-map-axis { font-size: 13px; }
.ftft-map-plot text.ftft-map-region { font-size: 14px; paint-order: stroke; stroke: var(--st-background-color);
  stroke-width: 5px; stroke-linejoin: round; fill: var(--st-text-color); fill-opacity: 0.8; }
.ftft-map-tip { position: absolute; z-index: 4; pointer-events: none; padding: 4px 8px; max-width: 260px;
  border: 1px solid var(--map-line); border-radius: 4px; background: var(--st-background-color);
  white-space: pre-line; overflow-wrap: anywhere; line-height: 18px; }
.ftft-map-tip[hidden], .ftft-map-wait[hidden] { display: none; }
.ftft-map-wait { position: absolute; inset: 0; display: grid; place-items: center; color: var(--map-muted, gray);
  opacity: 0; animation: ftft-map-wait 0.2s 0.3s forwards; pointer-events: none; }
@keyframes ftft-map-wait { to { opacity: 1; } }
.ftft-map-foot { display: flex; align-items: center; justify-content: space-between; gap: 12px; height: 30px; }
.ftft-map-remarks { color: var(--map-muted); font-size: 12px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; padding-left: 50px; }
.ftft-map-epochs { display: flex; align-items: center; gap: 6px; flex: 0 0 auto; }
.ftft-map-epochs[hidden] { display: none; }
.ftft-map-epochs button { padding: 0 5px; }
.ftft-map-epochs button svg { fill: currentColor; stroke: none; }
.ftft-map-epochs input { width: 150px; accent-color: var(--st-primary-color); margin: 0; cursor: pointer; }
.ftft-map-epochs output { min-width: 80px; text-align: right; color: var(--map-muted); }
@container (max-width: 600px) {
  .ftft-map-tools button[data-mode] span, .ftft-map-tools button[data-way] span { display: none; }
  .ftft-map button, .ftft-map summary { padding: 0 6px; }
  .ftft-map-bars { width: 168px; }
  .ftft-map-epochs input { width: 96px; }
}
"""
