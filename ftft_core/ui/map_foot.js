// The foot of the map: what it cannot show, and the slider of epochs that can play.

const TWEEN_MILLISECONDS = 400;
const PAUSE_MILLISECONDS = 350;
const PLAY = "M6 4l10 6-10 6z";
const PAUSE = "M5 4h3.5v12H5zM11.5 4H15v12h-3.5z";

function drawFoot(map) {
  const remarks = [...(map.data.crossed ? ["× excluded from training"] : []), ...map.places.remarks];
  const foot = map.host.querySelector(".ftft-map-remarks");
  foot.textContent = remarks.join(" · ");
  foot.title = remarks.join("\n");
  const [epoch, last] = map.data.epochs;
  map.epochs.hidden = last < 2;
  map.slider.max = String(last);
  if (map.asked !== null && (epoch === map.asked || map.data.answered >= map.askedNumber)) map.asked = null;
  showEpoch(map, map.wanted ?? map.asked ?? epoch);
}

function showEpoch(map, epoch) {
  map.slider.value = String(epoch);
  map.epochs.querySelector("output").textContent = `epoch ${epoch} of ${map.data.epochs[1]}`;
  map.slider.setAttribute("aria-valuetext", `epoch ${epoch} of ${map.data.epochs[1]}`);
}

// One question at a time: while one is open, only the newest wish is kept.
function askEpoch(map, epoch) {
  showEpoch(map, epoch);
  if (map.asked !== null) {
    map.wanted = epoch;
    return;
  }
  map.wanted = null;
  if (epoch === map.data.epochs[0]) return;
  map.asked = epoch;
  map.askedNumber = send(map, "epochs", epoch);
}

// Called when the map of an epoch has come to rest.
function arrived(map) {
  if (map.wanted !== null && map.asked === null) return askEpoch(map, map.wanted);
  if (!map.playing || map.asked !== null) return;
  const [epoch, last] = map.data.epochs;
  if (epoch >= last) return setPlaying(map, false);
  clearTimeout(map.pause);
  map.pause = setTimeout(() => map.playing && askEpoch(map, epoch + 1), PAUSE_MILLISECONDS);
}

function setPlaying(map, playing) {
  map.playing = playing;
  clearTimeout(map.pause);
  const button = map.epochs.querySelector("button");
  button.setAttribute("aria-label", playing ? "Pause" : "Play");
  button.title = playing ? "Pause" : "Play the epochs";
  button.querySelector("path").setAttribute("d", playing ? PAUSE : PLAY);
}

function listenFoot(map) {
  map.slider.oninput = () => {
    setPlaying(map, false);
    askEpoch(map, Number(map.slider.value));
  };
  map.epochs.querySelector("button").onclick = () => {
    setPlaying(map, !map.playing);
    if (!map.playing) return;
    const [epoch, last] = map.data.epochs;
    askEpoch(map, epoch >= last ? 1 : epoch + 1);
  };
}

// Whether the points should glide to where they now are: the same rows on the same axes, and a browser that keeps up.
function canGlide(map, before, after) {
  if (!before || before === after || before.axes.join() !== after.axes.join() || before.rows.length !== after.rows.length) return false;
  if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return false;
  if (after.rows.length > 15000 && (map.drawMilliseconds || 0) > 60) return false;
  return before.rows.every((row, index) => row === after.rows[index]);
}

function glide(map, from, done) {
  const to = { x: map.places.x, y: map.places.y };
  const shown = map.shown;
  const [x, y] = [new Float32Array(to.x), new Float32Array(to.y)];
  Object.assign(shown, { x, y });
  const started = performance.now();
  const step = (now) => {
    if (map.shown !== shown || shown.x !== x) return; // a newer figure has come
    const share = Math.min(Math.max((now - started) / TWEEN_MILLISECONDS, 0), 1);
    const eased = share < 0.5 ? 4 * share ** 3 : 1 - (-2 * share + 2) ** 3 / 2;
    for (let index = 0; index < x.length; index += 1) {
      const [oldX, oldY] = [from.x[index], from.y[index]];
      x[index] = Number.isNaN(oldX) ? to.x[index] : oldX + (to.x[index] - oldX) * eased;
      y[index] = Number.isNaN(oldY) ? to.y[index] : oldY + (to.y[index] - oldY) * eased;
    }
    if (share < 1) {
      drawPoints(map);
      requestAnimationFrame(step);
      return;
    }
    Object.assign(shown, to);
    map.index = null;
    drawPoints(map);
    done();
  };
  step(started);
}
