// The plane of a toy on a canvas: the critic as a heat map, the generator as a warped mesh, samples, arrows, pairs.
"use strict";

class Plane {
  constructor(canvas) {
    Object.assign(this, { canvas, about: null, frame: null, layers: new Set(), overlay: null, drawing: null });
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  // The place of a point of the plane on the canvas, and back.
  place([x, y]) {
    const side = this.side,
      h = this.about.half_side;
    return [((x / h + 1) / 2) * side, ((1 - y / h) / 2) * side];
  }

  point(px, py) {
    const side = this.side,
      h = this.about.half_side;
    return [((px / side) * 2 - 1) * h, (1 - (py / side) * 2) * h];
  }

  draw() {
    const ratio = window.devicePixelRatio || 1,
      side = this.canvas.clientWidth;
    if (!side || !this.about || !this.frame) return;
    this.side = side;
    if (this.canvas.width !== Math.round(side * ratio))
      this.canvas.width = this.canvas.height = Math.round(side * ratio);
    const g = this.canvas.getContext("2d"),
      { layers, frame, overlay } = this;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.fillStyle = colour("--card");
    g.fillRect(0, 0, side, side);
    if (overlay) return this.drawOver(g, overlay);
    if (layers.has("optimum")) {
      if (frame.optimum) this.heat(g, frame.optimum, this.range(frame.optimum), !this.cells());
      else this.say(g, "the optimum of this state is not computed yet");
    } else if (layers.has("critic")) this.heat(g, frame.critic, this.range(frame.critic));
    if (layers.has("mesh")) this.mesh(g, frame.mesh);
    this.axes(g);
    if (layers.has("real")) this.points(g, this.about.real, colour("--c3"), 2);
    if (layers.has("pairing") && frame.pairing) this.pairs(g);
    if (layers.has("generated")) this.points(g, frame.generated, colour("--c2"), 2);
    if (layers.has("arrows")) this.arrows(g, frame.generated, frame.arrows);
    if (this.drawing) this.points(g, this.drawing, colour("--c1"), 4);
  }

  say(g, text) {
    g.font = "13px system-ui, sans-serif";
    g.fillStyle = colour("--soft");
    g.textAlign = "center";
    g.textBaseline = "top";
    g.fillText(text, this.side / 2, 8);
  }

  // A stage of slow motion, of what it has: heat with its range, mesh, points, lines between them, bars, arrows.
  drawOver(g, { heat, range, mesh, real, generated, between, bars = [], arrows }) {
    const { layers } = this;
    if (heat && layers.has("critic")) this.heat(g, heat, range || this.range(heat));
    if (mesh && layers.has("mesh")) this.mesh(g, mesh);
    this.axes(g);
    if (between) this.lines(g, ...between);
    if (real && layers.has("real")) this.points(g, real, colour("--c3"), 2);
    if (generated && layers.has("generated")) this.points(g, generated, colour("--c2"), 2);
    for (const some of bars) this.bars(g, some);
    if (arrows) this.arrows(g, arrows.from, arrows.by);
  }

  // Whether the optimum is of cells, not of points.
  cells() {
    return this.about.model === "gan";
  }

  // The least and the greatest value: of probabilities 0 and 1.
  range(values) {
    if (this.about.model === "gan") return [0, 1];
    return [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  }

  // A square of cells, from the lower left, row by row: blue is low, amber high.
  heat(g, values, [low, high], smooth = true) {
    const n = Math.round(Math.sqrt(values.length)),
      image = new ImageData(n, n);
    const dark = isDark();
    const ramp = dark
      ? [
          [38, 66, 118],
          [27, 33, 41],
          [122, 82, 14],
        ]
      : [
          [138, 170, 222],
          [248, 248, 246],
          [246, 205, 120],
        ];
    values.forEach((value, i) => {
      const at = 4 * ((n - 1 - Math.floor(i / n)) * n + (i % n));
      if (value === null) return;
      const t = Math.min(Math.max((value - low) / (high - low || 1), 0), 1) * 2,
        k = t < 1 ? 0 : 1;
      for (let c = 0; c < 3; c++) image.data[at + c] = ramp[k][c] + (ramp[k + 1][c] - ramp[k][c]) * (t - k);
      image.data[at + 3] = 255;
    });
    const small = document.createElement("canvas");
    small.width = small.height = n;
    small.getContext("2d").putImageData(image, 0, 0);
    g.imageSmoothingEnabled = smooth;
    g.drawImage(small, 0, 0, this.side, this.side);
  }

  // The generator as the image of a square mesh of noise: the darker a cell, the denser the points are there.
  mesh(g, mesh) {
    const n = Math.round(Math.sqrt(mesh.length)),
      reach = 2.4,
      step = (2 * reach) / (n - 1);
    const at = (i, j) => this.place(mesh[i * n + j]);
    const ink = colour("--c4"),
      h = this.about.half_side;
    for (let i = 0; i + 1 < n; i++) {
      for (let j = 0; j + 1 < n; j++) {
        const corners = [mesh[i * n + j], mesh[i * n + j + 1], mesh[(i + 1) * n + j + 1], mesh[(i + 1) * n + j]];
        let area = 0;
        corners.forEach(([x, y], k) => {
          const [a, b] = corners[(k + 1) % 4];
          area += (x * b - a * y) / 2;
        });
        // The mass of the noise in the cell over the area of its image, beside that of points spread evenly.
        const u = (j + 0.5) * step - reach,
          v = (i + 0.5) * step - reach;
        const mass = (Math.exp(-(u * u + v * v) / 2) / (2 * Math.PI)) * step * step;
        const density = (mass / Math.max(Math.abs(area), 1e-9)) * (4 * h * h);
        g.globalAlpha = Math.min(0.6, 0.12 * Math.log1p(density));
        g.fillStyle = ink;
        g.beginPath();
        [at(i, j), at(i, j + 1), at(i + 1, j + 1), at(i + 1, j)].forEach(([x, y], k) =>
          k ? g.lineTo(x, y) : g.moveTo(x, y),
        );
        g.fill();
      }
    }
    g.globalAlpha = 0.35;
    g.strokeStyle = ink;
    g.lineWidth = 0.7;
    g.beginPath();
    for (let i = 0; i < n; i += 2) {
      for (let j = 0; j < n; j++) {
        const [x, y] = at(i, j);
        if (j) g.lineTo(x, y);
        else g.moveTo(x, y);
      }
      for (let j = 0; j < n; j++) {
        const [x, y] = at(j, i);
        if (j) g.lineTo(x, y);
        else g.moveTo(x, y);
      }
    }
    g.stroke();
    g.globalAlpha = 1;
  }

  axes(g) {
    const h = this.about.half_side;
    g.font = "11px system-ui, sans-serif";
    g.fillStyle = colour("--soft");
    g.strokeStyle = colour("--line");
    g.lineWidth = 1;
    for (const t of ticks(-h, h, 5)) {
      const [x, y] = this.place([t, t]);
      g.globalAlpha = t === 0 ? 0.9 : 0.45;
      g.beginPath();
      g.moveTo(x, 0);
      g.lineTo(x, this.side);
      g.moveTo(0, y);
      g.lineTo(this.side, y);
      g.stroke();
      g.globalAlpha = 1;
      g.textAlign = "center";
      g.textBaseline = "bottom";
      if (x > 14 && x < this.side - 14) g.fillText(short(t), x, this.side - 3);
      g.textAlign = "left";
      g.textBaseline = "middle";
      if (y > 10 && y < this.side - 18) g.fillText(short(t), 3, y);
    }
  }

  points(g, points, ink, radius) {
    g.fillStyle = ink;
    g.globalAlpha = 0.8;
    for (const point of points) {
      const [x, y] = this.place(point);
      g.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    }
    g.globalAlpha = 1;
  }

  lines(g, from, to) {
    g.strokeStyle = colour("--soft");
    g.globalAlpha = 0.35;
    g.lineWidth = 1;
    g.beginPath();
    from.forEach((point, i) => {
      g.moveTo(...this.place(point));
      g.lineTo(...this.place(to[i]));
    });
    g.stroke();
    g.globalAlpha = 1;
  }

  // Upright bars from points, up or down: 1 is a thirtieth of the side, the longest a sixth at most. With a tick where
  // a bar should end.
  bars(g, { at, lengths, colour: ink, tick = null }) {
    const longest = lengths.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const unit = Math.min(this.side / 30, this.side / 6 / (longest || 1));
    g.strokeStyle = colour(ink);
    g.lineWidth = 2;
    g.beginPath();
    at.forEach((point, i) => {
      const [x, y] = this.place(point);
      g.moveTo(x, y);
      g.lineTo(x, y - lengths[i] * unit);
    });
    g.stroke();
    if (tick === null) return;
    g.lineWidth = 1.5;
    g.strokeStyle = colour("--c1");
    g.beginPath();
    for (const point of at) {
      const [x, y] = this.place(point);
      g.moveTo(x - 4, y - tick * unit);
      g.lineTo(x + 4, y - tick * unit);
    }
    g.stroke();
  }

  pairs(g) {
    g.strokeStyle = colour("--c6");
    g.globalAlpha = 0.75;
    g.lineWidth = 1;
    g.beginPath();
    this.frame.pairing.forEach((j, i) => {
      g.moveTo(...this.place(this.about.real[i]));
      g.lineTo(...this.place(this.frame.generated[j]));
    });
    g.stroke();
    g.globalAlpha = 1;
  }

  // The longest is a tenth of the half side.
  arrows(g, from, arrows) {
    const longest = arrows.reduce((most, [x, y]) => Math.max(most, Math.hypot(x, y)), 0);
    if (!longest) return;
    const unit = (0.1 * this.side) / longest;
    g.strokeStyle = colour("--ink");
    g.lineWidth = 1.3;
    g.beginPath();
    arrows.forEach(([dx, dy], i) => {
      const [x, y] = this.place(from[i]),
        [u, v] = [x + dx * unit, y - dy * unit],
        angle = Math.atan2(v - y, u - x);
      g.moveTo(x, y);
      g.lineTo(u, v);
      for (const turn of [-0.5, 0.5]) {
        g.moveTo(u, v);
        g.lineTo(u - 5 * Math.cos(angle + turn), v - 5 * Math.sin(angle + turn));
      }
    });
    g.stroke();
  }
}
