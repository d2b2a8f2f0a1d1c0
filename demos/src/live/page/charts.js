// Curves on a canvas: axes that can be read, a legend with numbers, and the numbers under the pointer.
"use strict";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim() || name;

// A number to three or four digits.
function short(x) {
  if (x === null || x === undefined || Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return x.toExponential(1).replace("-", "−").replace("e+", "e");
  const digits = Math.max(0, 3 - Math.floor(Math.log10(Math.max(size, 1))));
  return x
    .toFixed(digits)
    .replace(/(\.\d*?)0+$/, "$1")
    .replace(/\.$/, "")
    .replace("-", "−");
}

function human(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

// Round numbers from low to high, some `n` of them, and no nearer to each other than `least`.
function ticks(low, high, n, least = 0) {
  const raw = Math.max((high - low) / Math.max(n, 1), least),
    power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((m) => m * power >= raw) * power;
  const found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-9; t += step)
    found.push(Math.abs(t) < step / 1e6 ? 0 : t);
  return found;
}

// Powers of ten from low to high, some eight at most, with 2 and 5 between them where there is room.
function logTicks(low, high) {
  const found = [],
    decades = Math.log10(high / low),
    every = Math.max(1, Math.ceil(decades / 8)),
    between = decades < 2 ? [1, 2, 5] : [1];
  for (let p = Math.floor(Math.log10(low) / every) * every; p <= Math.ceil(Math.log10(high)); p += every) {
    for (const x of between.map((m) => m * 10 ** p)) if (x >= low && x <= high) found.push(x);
  }
  return found;
}

class Chart {
  // canvas; keys: the element of the legend; x, y: what the axes say; log: whether y is logarithmic;
  // range: y's range, if it is not to follow the numbers.
  constructor(canvas, keys, { x, y, log = false, range = null, xRange = null }) {
    Object.assign(this, { canvas, keys, x, y, log, range, xRange, series: [], at: null, mark: null });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${y} over ${x}`);
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      this.at = event.clientX - box.left;
      this.draw();
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("pointerleave", () => {
      this.at = null;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  // series: [{ name, colour, dashed, xs, ys }], numbers in the order of x; null is a gap. mark: the place in x that is
  // looked back at, if one is.
  set(series, mark = null) {
    Object.assign(this, { series, mark });
    this.draw();
  }

  // The means of a series in columns of one pixel, with the least and the greatest: a long run has many steps to each.
  columns(series, low, high, width) {
    const { xs, ys } = series,
      n = xs.length;
    if (n <= 2 * width) return xs.map((x, i) => ({ x, mean: ys[i], least: ys[i], most: ys[i] }));
    const found = [];
    let column = -1,
      sum = 0,
      count = 0,
      least = 0,
      most = 0,
      first = 0;
    const close = () => {
      if (count) found.push({ x: first, mean: sum / count, least, most });
    };
    for (let i = 0; i < n; i++) {
      const y = ys[i];
      if (y === null || !Number.isFinite(y)) continue;
      const c = Math.floor(((xs[i] - low) / (high - low)) * width);
      if (c !== column) {
        close();
        column = c;
        sum = 0;
        count = 0;
        least = y;
        most = y;
        first = xs[i];
      }
      sum += y;
      count++;
      if (y < least) least = y;
      if (y > most) most = y;
    }
    close();
    return found;
  }

  draw() {
    const ratio = window.devicePixelRatio || 1,
      { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
    if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
    const g = this.canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    g.font = "11px system-ui, sans-serif";
    const [soft, line] = [colour("--soft"), colour("--line")];
    const full = this.series.filter((s) => s.xs.length);
    this.legend(null);
    // What is not finite can be no place on the chart.
    if (!full.some((s) => s.ys.some((y) => y !== null && Number.isFinite(y)))) {
      g.fillStyle = soft;
      g.textAlign = "center";
      g.fillText("nothing yet", width / 2, height / 2);
      return;
    }
    let [x0, x1] = this.xRange || [
      Math.min(...full.map((s) => s.xs[0])),
      Math.max(...full.map((s) => s.xs[s.xs.length - 1])),
    ];
    if (x1 <= x0) {
      x0 -= 0.5;
      x1 += 0.5;
    }
    const reduced = full.map((s) => this.columns(s, x0, x1, width));
    const [y0, y1] = this.range || this.extent(reduced);
    const up = (y) => (this.log ? Math.log(y) : y);
    const marks = this.log ? logTicks(y0, y1) : ticks(y0, y1, height / 45);
    const labels = marks.map(short);
    const left = 20 + Math.max(...labels.map((t) => g.measureText(t).width)),
      [right, top, bottom] = [width - 8, 8, height - 30];
    const X = (x) => left + ((x - x0) / (x1 - x0)) * (right - left);
    const Y = (y) => bottom - ((up(y) - up(y0)) / (up(y1) - up(y0))) * (bottom - top);
    g.strokeStyle = line;
    g.fillStyle = soft;
    g.lineWidth = 1;
    g.textBaseline = "middle";
    g.textAlign = "right";
    marks.forEach((y, i) => {
      g.beginPath();
      g.moveTo(left, Y(y));
      g.lineTo(right, Y(y));
      g.stroke();
      g.fillText(labels[i], left - 4, Y(y));
    });
    g.textBaseline = "top";
    g.textAlign = "center";
    // Steps and updates are whole; an axis with a range of its own is of something else.
    for (const x of ticks(x0, x1, (right - left) / 80, this.xRange ? 0 : 1)) {
      const text = short(x),
        half = g.measureText(text).width / 2;
      g.fillText(text, Math.min(Math.max(X(x), left + half), right - half), bottom + 3);
    }
    g.fillText(this.x, (left + right) / 2, bottom + 16);
    g.save();
    g.translate(2, (top + bottom) / 2);
    g.rotate(-Math.PI / 2);
    g.fillText(this.y, 0, 0);
    g.restore();
    g.save();
    g.beginPath();
    g.rect(left, top - 2, right - left, bottom - top + 4);
    g.clip();
    full.forEach((s, i) => this.curve(g, s, reduced[i], X, Y));
    if (this.mark !== null) this.upright(g, X(this.mark), top, bottom, [2, 3]);
    this.pointer(g, full, { left, right, top, bottom, x0, x1 }, X);
    g.restore();
  }

  // A line from top to bottom.
  upright(g, x, top, bottom, dashes = []) {
    g.strokeStyle = colour("--soft");
    g.lineWidth = 1.6;
    g.setLineDash(dashes);
    g.beginPath();
    g.moveTo(x, top);
    g.lineTo(x, bottom);
    g.stroke();
    g.setLineDash([]);
  }

  extent(reduced) {
    const means = reduced
      .flat()
      .map((c) => c.mean)
      .filter((y) => y !== null && Number.isFinite(y) && (!this.log || y > 0));
    if (!means.length) return this.log ? [0.1, 1] : [0, 1];
    let low = means.reduce((a, b) => Math.min(a, b)),
      high = means.reduce((a, b) => Math.max(a, b));
    if (this.log) return high / low > 1.05 ? [low / 1.1, high * 1.1] : [low / 1.5, high * 1.5];
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 0.5;
    return [low - room, high + room];
  }

  curve(g, series, columns, X, Y) {
    const real = columns.filter((c) => c.mean !== null && Number.isFinite(c.mean));
    g.strokeStyle = colour(series.colour);
    g.lineWidth = 1;
    g.globalAlpha = 0.25;
    g.setLineDash([]);
    g.beginPath();
    for (const c of real)
      if (c.most > c.least) {
        g.moveTo(X(c.x), Y(c.least));
        g.lineTo(X(c.x), Y(c.most));
      }
    g.stroke();
    g.globalAlpha = 1;
    g.lineWidth = 1.6;
    g.setLineDash(series.dashed ? [4, 4] : []);
    g.beginPath();
    real.forEach((c, i) => (i ? g.lineTo(X(c.x), Y(c.mean)) : g.moveTo(X(c.x), Y(c.mean))));
    g.stroke();
    g.setLineDash([]);
    if (real.length === 1) {
      g.fillStyle = colour(series.colour);
      g.beginPath();
      g.arc(X(real[0].x), Y(real[0].mean), 3, 0, 7);
      g.fill();
    }
  }

  pointer(g, full, { left, right, top, bottom, x0, x1 }, X) {
    if (this.at === null || this.at < left || this.at > right) return;
    const x = x0 + ((this.at - left) / (right - left)) * (x1 - x0);
    this.upright(g, X(x), top, bottom);
    this.legend(x);
  }

  // The legend, with the numbers at x, or those at the mark, or the last ones.
  legend(x) {
    x ??= this.mark;
    const nearest = (xs) => {
      let [low, high] = [0, xs.length - 1];
      while (high - low > 1) {
        const m = (low + high) >> 1;
        if (xs[m] > x) high = m;
        else low = m;
      }
      return x - xs[low] < xs[high] - x ? low : high;
    };
    const parts = this.series.map(({ name, colour: c, dashed, xs, ys }) => {
      const key = document.createElement("span"),
        mark = document.createElement("i"),
        value = document.createElement("b");
      mark.style.setProperty("--key", colour(c));
      if (dashed) mark.className = "dashed";
      value.textContent = xs.length ? ` ${short(ys[x === null ? ys.length - 1 : nearest(xs)])}` : "";
      key.append(mark, name, value);
      return key;
    });
    if (x !== null) {
      const some = this.series.find((s) => s.xs.length),
        place = document.createElement("span");
      place.textContent = `at ${this.x === "step" ? "step " : ""}${short(some.xs[nearest(some.xs)])}`;
      parts.push(place);
    }
    this.keys.replaceChildren(...parts);
  }
}

// Sends a command, and gives what it answers; an error, in words, if it is refused.
async function command(path, body = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return JSON.parse(text);
}

const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const $ = (id) => document.getElementById(id);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  window.dispatchEvent(new Event("recolour")),
);
