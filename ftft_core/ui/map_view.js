// What is in view and where it lies in pixels: one place for all conversions.

const MARGIN = { left: 50, top: 46, right: 128, bottom: 42 };
const NARROW = 560; // narrower maps have thinner histograms
const ROWS = { tools: 28, legend: 36, foot: 30 };
const LOWEST = 430; // the map is never lower than this, its rows included

// Inner area of the plot, in pixels of the plot's element.
function areaOf(map) {
  const width = map.plot.clientWidth;
  const right = width < NARROW ? 96 : MARGIN.right;
  return {
    left: MARGIN.left,
    top: MARGIN.top,
    width: Math.max(width - MARGIN.left - right, 40),
    height: Math.max(map.plot.clientHeight - MARGIN.top - MARGIN.bottom, 40),
    right,
  };
}

const across = (map, x) => ((x - map.view.x[0]) / (map.view.x[1] - map.view.x[0])) * map.area.width;
const down = (map, y) => (1 - (y - map.view.y[0]) / (map.view.y[1] - map.view.y[0])) * map.area.height;
const dataX = (map, pixel) => map.view.x[0] + (pixel / map.area.width) * (map.view.x[1] - map.view.x[0]);
const dataY = (map, pixel) => map.view.y[0] + (1 - pixel / map.area.height) * (map.view.y[1] - map.view.y[0]);

// A number with as many decimals as a hundred-thousandth of the range needs.
function short(value, range) {
  const decimals = Math.min(Math.max(Math.ceil(-Math.log10(range[1] - range[0])) + 5, 0), 12);
  return Number(value.toFixed(decimals));
}

const point = (map, [x, y]) => [short(dataX(map, x), map.view.x), short(dataY(map, y), map.view.y)];

function wholeView(map) {
  const [x, y] = map.places.ranges;
  return { x: [...x], y: [...y] };
}

function isWhole(map) {
  const whole = wholeView(map);
  return ["x", "y"].every((axis) => whole[axis].every((end, index) => Math.abs(end - map.view[axis][index]) < 1e-9));
}

// Show a part of the map; the server hears of it if it draws only a sample.
function setView(map, view) {
  map.view = view;
  map.memory.view = { axes: map.places.axes.join(), ...view };
  map.whole.disabled = isWhole(map);
  map.draw("view");
  clearTimeout(map.reporting);
  if (!map.data.report_view) return;
  map.reporting = setTimeout(() => {
    const [x, y] = map.places.axes;
    map.setState("view", isWhole(map) ? null : { x, y, window: [...view.x, ...view.y].map((end) => Number(end.toPrecision(8))) });
  }, 120);
}

// Round numbers for an axis, and how many decimals they need.
function ticks([low, high], count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.99) || 10 * power;
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let number = Math.ceil(low / step - 1e-9); number * step <= high + step * 1e-9; number += 1) found.push(number * step);
  return found.map((value) => ({ value, words: value.toFixed(decimals).replace(/^-(0(\.0+)?)$/, "$1").replace("-", "−") }));
}
