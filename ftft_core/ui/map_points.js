// The points, blended into an image by hand: under software rendering that takes a tenth of what WebGL takes, and a
// point can be found under the pointer however many share its place.

const STEPS = 4; // a point's stamp is made for so many places within a pixel, each way
const OPACITY = { selected: 242, faded: 34 };
const CELL = 16;

const pointRadius = (size) => (size <= 1500 ? 3.4 : size <= 8000 ? 2.5 : size <= 15000 ? 2 : 1.6);
const plainOpacity = (size) => (size <= 8000 ? 205 : size <= 15000 ? 180 : 150);

// For each place within a pixel: offsets of the pixels that a disc touches, and how much of each it covers (0 to 255).
function stampsOf(radius) {
  const reach = Math.ceil(radius + 1);
  const stamps = [];
  for (let row = 0; row < STEPS; row += 1) {
    for (let column = 0; column < STEPS; column += 1) {
      const [centreX, centreY] = [(column + 0.5) / STEPS, (row + 0.5) / STEPS];
      const stamp = [];
      for (let y = -reach; y <= reach; y += 1) {
        for (let x = -reach; x <= reach; x += 1) {
          const cover = Math.min(Math.max(radius + 0.5 - Math.hypot(x + 0.5 - centreX, y + 0.5 - centreY), 0), 1);
          if (cover > 0.02) stamp.push(x, y, Math.round(cover * 255));
        }
      }
      stamps.push(Int16Array.from(stamp));
    }
  }
  return stamps;
}

function blend(image, width, height, map, wanted, opacity, stamps, scale) {
  const { x, y, shades, colours256, selected } = map.shown;
  const pixels = image.data;
  const [scaleX, scaleY] = [map.area.width * scale, map.area.height * scale];
  const [fromX, spanX, fromY, spanY] = [map.view.x[0], map.view.x[1] - map.view.x[0], map.view.y[0], map.view.y[1] - map.view.y[0]];
  for (let index = 0; index < x.length; index += 1) {
    if (wanted !== null && selected[index] !== wanted) continue;
    const left = ((x[index] - fromX) / spanX) * scaleX;
    const top = (1 - (y[index] - fromY) / spanY) * scaleY;
    if (!(left > -9 && top > -9 && left < width + 9 && top < height + 9)) continue; // NaN is nowhere
    const [pixelX, pixelY] = [Math.floor(left), Math.floor(top)];
    const stamp = stamps[Math.floor((top - pixelY) * STEPS) * STEPS + Math.floor((left - pixelX) * STEPS)];
    const shade = shades[index] * 3;
    const [red, green, blue] = [colours256[shade], colours256[shade + 1], colours256[shade + 2]];
    for (let part = 0; part < stamp.length; part += 3) {
      const atX = pixelX + stamp[part];
      const atY = pixelY + stamp[part + 1];
      if (atX < 0 || atY < 0 || atX >= width || atY >= height) continue;
      const alpha = (stamp[part + 2] * opacity) / 255;
      const at = (atY * width + atX) * 4;
      const under = pixels[at + 3];
      const all = alpha + under - (alpha * under) / 255;
      const share = alpha / all;
      pixels[at] += (red - pixels[at]) * share;
      pixels[at + 1] += (green - pixels[at + 1]) * share;
      pixels[at + 2] += (blue - pixels[at + 2]) * share;
      pixels[at + 3] = all;
    }
  }
}

function place(canvas, map, scale) {
  const { left, top, width, height } = map.area;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  return [wide, high];
}

function drawPoints(map) {
  const started = performance.now();
  const scale = Math.min(window.devicePixelRatio || 1, 2);
  const canvas = map.canvases.points;
  const [width, height] = place(canvas, map, scale);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const image = context.createImageData(width, height);
  const radius = pointRadius(map.shown.x.length) * scale;
  if (map.stampRadius !== radius) Object.assign(map, { stampRadius: radius, stamps: stampsOf(radius) });
  if (map.shown.selected === null) blend(image, width, height, map, null, plainOpacity(map.shown.x.length), map.stamps, scale);
  else {
    blend(image, width, height, map, 0, OPACITY.faded, map.stamps, scale);
    blend(image, width, height, map, 1, OPACITY.selected, map.stamps, scale);
  }
  context.putImageData(image, 0, 0);
  drawCrosses(map, context, scale);
  map.drawMilliseconds = performance.now() - started;
}

// A cross through every point whose example is excluded from training.
function drawCrosses(map, context, scale) {
  const { x, y, crossed } = map.shown;
  if (!crossed) return;
  const arm = (pointRadius(x.length) + 1.2) * scale;
  Object.assign(context, { strokeStyle: map.data.theme.text, lineWidth: 1.3 * scale });
  context.beginPath();
  for (let index = 0; index < x.length; index += 1) {
    if (!crossed[index]) continue;
    const [left, top] = [across(map, x[index]) * scale, down(map, y[index]) * scale];
    context.moveTo(left - arm, top - arm);
    context.lineTo(left + arm, top + arm);
    context.moveTo(left - arm, top + arm);
    context.lineTo(left + arm, top - arm);
  }
  context.stroke();
}

// All examples as a picture beneath the points; it fades with the points that are not selected.
function drawDensity(map) {
  const canvas = map.canvases.density;
  const [width, height] = place(canvas, map, 1);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  canvas.style.opacity = map.shown.selected === null ? 1 : 0.55;
  const { density, density_cells: cells, density_window: shown } = map.places;
  if (!density) return;
  const picture = new ImageData(cells, cells);
  for (let row = 0; row < cells; row += 1) {
    for (let column = 0; column < cells; column += 1) {
      const much = density[row * cells + column];
      if (!much) continue;
      const at = ((cells - 1 - row) * cells + column) * 4;
      picture.data.set([...mixed(map.data.theme.density, much / 255), 255], at);
    }
  }
  const small = document.createElement("canvas");
  Object.assign(small, { width: cells, height: cells });
  small.getContext("2d").putImageData(picture, 0, 0);
  const [left, right, bottom, top] = [across(map, shown[0]), across(map, shown[1]), down(map, shown[2]), down(map, shown[3])];
  context.drawImage(small, left, top, right - left, bottom - top);
}

// Drawn points by cells of the screen, made when the pointer first asks after a change.
function indexPoints(map) {
  const { x, y } = map.shown;
  const [columns, rows] = [Math.ceil(map.area.width / CELL) + 1, Math.ceil(map.area.height / CELL) + 1];
  const cells = new Int32Array(x.length).fill(-1);
  const starts = new Int32Array(columns * rows + 1);
  for (let index = 0; index < x.length; index += 1) {
    const [column, row] = [Math.floor(across(map, x[index]) / CELL), Math.floor(down(map, y[index]) / CELL)];
    if (!(column >= 0 && row >= 0 && column < columns && row < rows)) continue;
    cells[index] = row * columns + column;
    starts[cells[index] + 1] += 1;
  }
  for (let cell = 0; cell < columns * rows; cell += 1) starts[cell + 1] += starts[cell];
  const members = new Int32Array(starts[columns * rows]);
  const filled = starts.slice();
  for (let index = 0; index < x.length; index += 1) if (cells[index] >= 0) members[filled[cells[index]]++] = index;
  return { columns, rows, starts, members };
}

// The drawn point nearest to a place in the map's area, at most `reach` pixels away; a selected one goes first.
function nearest(map, [left, top], reach) {
  const found = (map.index ??= indexPoints(map));
  const { x, y, selected } = map.shown;
  let best = { index: -1, distance: Infinity };
  const [firstColumn, lastColumn] = [Math.floor((left - reach) / CELL), Math.floor((left + reach) / CELL)];
  const [firstRow, lastRow] = [Math.floor((top - reach) / CELL), Math.floor((top + reach) / CELL)];
  for (let row = Math.max(firstRow, 0); row <= Math.min(lastRow, found.rows - 1); row += 1) {
    for (let column = Math.max(firstColumn, 0); column <= Math.min(lastColumn, found.columns - 1); column += 1) {
      const cell = row * found.columns + column;
      for (let member = found.starts[cell]; member < found.starts[cell + 1]; member += 1) {
        const index = found.members[member];
        const away = Math.hypot(across(map, x[index]) - left, down(map, y[index]) - top);
        if (away > reach) continue;
        const distance = away + (selected !== null && !selected[index] ? reach : 0);
        if (distance < best.distance) best = { index, distance };
      }
    }
  }
  return best.index;
}
