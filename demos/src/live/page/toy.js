// The page about a toy: what is pressed becomes an order, what comes back is drawn.
"use strict";

const TAPE_NOTE = $("tape-note").textContent;

const lab = {
  about: null,
  frame: null,
  last: null,
  kept: [],
  curves: [],
  playing: false,
  slow: null,
  tape: [],
  at: 0,
  pen: [],
};
const plane = new Plane($("plane"));
const charts = {
  distance: new Chart($("distance"), $("distance-keys"), { x: "update", y: "distance" }),
  js: new Chart($("js"), $("js-keys"), { x: "update", y: "nats" }),
  slope: new Chart($("slope"), $("slope-keys"), { x: "update", y: "‖∇f‖", log: true }),
  losses: new Chart($("losses"), $("losses-keys"), { x: "update", y: "loss" }),
};

// The layers of the plane, by the words of the legend.
const LAYERS = [
  ["real", "data", "--c3", true],
  ["generated", "generated", "--c2", true],
  ["critic", "critic", "--c5", true],
  ["arrows", "gradients", "--ink", true],
  ["mesh", "generator’s mesh", "--c4", true],
  ["pairing", "optimal pairs (W₁)", "--c6", false],
  ["optimum", "the optimum instead of D", "--c5", false],
];
for (const [id, name, key, on] of LAYERS) {
  const label = document.createElement("label"),
    box = document.createElement("input"),
    mark = document.createElement("i");
  box.type = "checkbox";
  box.id = `layer-${id}`;
  box.checked = on;
  mark.style.setProperty("--key", `var(${key})`);
  const words = document.createElement("span");
  words.textContent = name;
  label.append(box, mark, words);
  $("layers").append(label);
  if (on) plane.layers.add(id);
  box.addEventListener("change", () => {
    if (box.checked) plane.layers.add(id);
    else plane.layers.delete(id);
    if (id === "optimum") order("optimum", { on: box.checked });
    nameColours();
    plane.draw();
  });
}

async function order(name, body = {}) {
  try {
    $("note").textContent = "";
    return await command(`do/${name}`, body);
  } catch (error) {
    $("note").textContent = error.message;
    return null;
  }
}

const source = new EventSource("events");
source.onerror = () => {
  $("status").textContent = "no connection";
  $("status").dataset.status = "lost";
  $("note").textContent = "The program has ended, or does not answer. What it has shown stays here.";
};
source.addEventListener("update", (event) => {
  const news = JSON.parse(event.data);
  if (news.about) begin(news.about, news.past);
  lab.kept = news.kept;
  lab.playing = news.playing;
  lab.last = news.frame;
  lab.lastNumber = news.number;
  if (news.note) $("note").textContent = news.note;
  else if ($("note").textContent.startsWith("The program has ended")) $("note").textContent = "";
  remember(news.frame);
  const wasLast = !lab.looksBack;
  $("time").max = Math.max(lab.kept.length - 1, 0);
  if (wasLast) $("time").value = lab.kept.length - 1;
  $("status").textContent = news.playing ? "playing" : "paused";
  $("status").dataset.status = news.playing ? "running" : "paused";
  $("play").disabled = news.playing || news.frame.over;
  $("pause").disabled = !news.playing;
  if (lab.slow) return; // it shows the frame at its end
  if (wasLast) show(news.frame);
  drawCurves();
});

function begin(about, past) {
  lab.about = plane.about = about;
  lab.curves = [];
  lab.looksBack = false;
  past.forEach(remember);
  endSlow();
  $("tape-box").hidden = true;
  $("tape-note").textContent = TAPE_NOTE;
  offerExperiments();
  $("title").textContent = `gan toy: ${about.model} on ${about.toy === "drawn" ? "a drawing" : about.toy}`;
  $("steps").textContent = `of ${about.steps}`;
  $("toy").value = about.toy;
  $("model").value = about.model;
  $("seed").value = about.seed;
  usePen();
  const gan = about.model === "gan";
  $("bound-name").textContent = gan ? "discriminator’s lower bound on JS" : "critic’s lower bound on it";
  $("steepest-name").textContent =
    "steepest slope found" + (about.k === null ? "" : `; ${SET[about.model]} ${short(about.k)}`);
  // The critic sees the points over the data's scale.
  const units = `per unit of the points divided by ${short(about.scale)}`,
    sngan = about.model === "sngan";
  $("explain").textContent =
    (gan
      ? "The discriminator’s loss bounds the Jensen–Shannon divergence (in nats, ln 2 at most) from below; it is an " +
        "estimate from samples, and may be below 0. D* = p/(p + q), with the densities p of the data and q of G, is " +
        "the best discriminator for this G: p is exact for a mixture, q counted from 40,000 points in each cell. " +
        "Cells without colour hold next to nothing of either, so that D* says nothing there. Slopes are those of " +
        "the logit"
      : "A critic says E f(x) − E f(y) ≤ Lip(f)·W₁; over its steepest slope that is a lower bound of W₁, in units of " +
        "the plane (an estimate from samples: it may be below 0). The optimal f solves the dual problem of the 128 " +
        "pairs: of all f with slopes up to 1, none has a greater E f(x) − E f(y), which is W₁. Slopes are") +
    ` ${units}. None is above ∏ σ, the product of ${sngan ? "K and " : ""}the largest singular values of the weights` +
    `${sngan ? ", each divided by its σ" : ""}.`;
  $("floor").textContent = short(about.level);
  $("layer-optimum").nextSibling.nextSibling.textContent = gan ? "optimal D* instead of D" : "optimal f instead of D";
  $("js-card").hidden = !gan;
  nameColours();
}

// What the method sets for the slope, as the tile says it.
const SET = { wgan: "clipping allows", "wgan-gp": "aim is", sngan: "K is" };

// The words beside the colours of the heat map.
function nameColours() {
  const gan = lab.about.model === "gan",
    star = plane.layers.has("optimum") && !lab.slow ? "*" : "";
  $("low").textContent = gan ? `D${star} = 0: taken for generated` : `low f${star}: taken for generated`;
  $("high").textContent = gan ? `D${star} = 1: taken for real` : `high f${star}: taken for real`;
}

const updates = (script) =>
  script
    .split(" ")
    .reduce((n, word) => n + (/^\d+$/.test(word) ? Number(word) : word === "d" || word === "g" ? 1 : 0), 0);

// The numbers of a frame, in the order of the updates; what was undone goes.
function remember(frame) {
  const at = updates(frame.script);
  while (lab.curves.length && lab.curves[lab.curves.length - 1].at >= at) lab.curves.pop();
  lab.curves.push({
    at,
    ...Object.fromEntries(
      ["losses", "w1", "estimate", "bound", "steepest", "slope", "product"].map((name) => [name, frame[name]]),
    ),
  });
}

function show(frame) {
  lab.frame = plane.frame = frame;
  $("step").textContent = frame.step;
  $("time-step").textContent = `step ${frame.step}`;
  $("w1").textContent = short(frame.w1);
  $("bound").textContent = short(lab.about.model === "gan" ? frame.estimate : frame.bound);
  $("steepest").textContent = short(frame.steepest);
  $("modes").textContent = frame.score ? `${frame.score.modes} of ${lab.about.centres.length}` : "–";
  $("good").textContent = frame.score ? `${Math.round(1000 * frame.score.good) / 10} %` : "–";
  for (const [id, value] of [
    ["lr", frame.rates.lr],
    ["lr-d", frame.rates.lr_d ?? frame.rates.lr],
    ["n-dis", frame.rates.n_dis],
  ]) {
    if (document.activeElement !== $(id)) $(id).value = value;
  }
  $("command").textContent = lab.about.command + (frame.script ? ` --play "${frame.script}"` : "");
  plane.draw();
}

function drawCurves() {
  if (document.hidden) return;
  const xs = lab.curves.map((c) => c.at),
    ys = (pick) => lab.curves.map(pick),
    gan = lab.about.model === "gan";
  const back = lab.looksBack && lab.frame ? updates(lab.frame.script) : null;
  const line = (name, key, pick, dashed = false) => ({ name, colour: key, dashed, xs, ys: ys(pick) });
  const level = line("two samples", "--c3", () => lab.about.level, true);
  // Up to the greatest W₁ of the later half of many: the first ones, and bounds below 0, may leave the picture.
  const later = ys((c) => c.w1).slice(xs.length < 20 ? 0 : xs.length >> 1);
  charts.distance.range = [0, 1.2 * later.reduce((most, w1) => Math.max(most, w1), lab.about.level)];
  charts.distance.set(
    [line("exact W₁", "--c6", (c) => c.w1), level].concat(gan ? [] : [line("bound", "--c1", (c) => c.bound)]),
    back,
  );
  if (gan)
    charts.js.set([line("bound on JS", "--c1", (c) => c.estimate), line("ln 2", "--c3", () => Math.LN2, true)], back);
  const k = lab.about.k,
    set = { wgan: "clipping", "wgan-gp": "aim", sngan: "K" }[lab.about.model];
  charts.slope.set(
    [
      line("steepest", "--c1", (c) => c.steepest),
      line("mean", "--c2", (c) => c.slope),
      line("∏ σ", "--c4", (c) => c.product),
    ].concat(k === null ? [] : [line(set, "--c3", () => k, true)]),
    back,
  );
  charts.losses.set([line("critic", "--c1", (c) => c.losses[0]), line("generator", "--c2", (c) => c.losses[1])], back);
}

// Earlier states.
$("time").addEventListener("input", async () => {
  const i = Number($("time").value),
    [number] = lab.kept[i];
  lab.looksBack = i < lab.kept.length - 1;
  $("go-back").disabled = !lab.looksBack;
  if (lab.looksBack) {
    const answer = await fetch(`frame/${number}`);
    if (answer.ok && Number($("time").value) === i) show(await answer.json());
  } else show(lab.last);
  drawCurves();
});
$("go-back").addEventListener("click", async () => {
  const { script } = lab.frame;
  lab.looksBack = false;
  $("go-back").disabled = true;
  await order("go-to", { script });
});

function follow() {
  lab.looksBack = false;
  $("go-back").disabled = true;
  endSlow();
}
for (const [id, name, body] of [
  ["play", "play", () => ({ steps: Number($("speed").value) })],
  ["pause", "pause", () => ({})],
  ["one", "step", () => ({ steps: 1 })],
  ["critic-alone", "critic", () => ({})],
  ["generator-alone", "generator", () => ({})],
])
  $(id).addEventListener("click", () => {
    follow();
    order(name, body());
  });
$("speed").addEventListener("change", () => {
  if (lab.playing) order("play", { steps: Number($("speed").value) });
});
$("start").addEventListener("click", () => {
  follow();
  const toy = $("toy").value,
    points = toy === "drawn" ? lab.pen.map(([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`).join(" ") : null;
  order("start", { toy, points, model: $("model").value, seed: Number($("seed").value) });
});
$("set").addEventListener("click", () => {
  follow();
  const { rates } = lab.last,
    changed = (id, now) => {
      const x = Number($(id).value);
      return x === now ? null : x;
    };
  order("set", {
    lr: changed("lr", rates.lr),
    "lr-d": changed("lr-d", rates.lr_d ?? rates.lr),
    "n-dis": changed("n-dis", rates.n_dis),
  });
});
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("command").textContent);
    $("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("command"));
    $("copy").textContent = "Selected";
  }
  setTimeout(() => {
    $("copy").textContent = "Copy";
  }, 1500);
});

// Data of one's own.
function usePen() {
  const on = $("toy").value === "drawn";
  $("pen-note").hidden = !on;
  $("plane").classList.toggle("pen", on);
  // A drawing lies within ±1.4, whatever the plane shows now.
  const unit = lab.about.half_side / 1.4;
  plane.drawing = on && lab.pen.length ? lab.pen.map((point) => point.map((x) => x * unit)) : null;
  plane.draw();
}
$("toy").addEventListener("change", usePen);
$("erase").addEventListener("click", () => {
  lab.pen = [];
  usePen();
});
function pen(event) {
  if ($("toy").value !== "drawn" || event.buttons === 0) return;
  const box = $("plane").getBoundingClientRect(),
    h = lab.about.half_side;
  const clamp = (x) => Math.min(Math.max((x / h) * 1.4, -1.4), 1.4);
  const at = plane.point(event.clientX - box.left, event.clientY - box.top).map(clamp);
  const far = lab.pen.every(([x, y]) => Math.hypot(x - at[0], y - at[1]) > 0.06);
  if (far && lab.pen.length < 100) lab.pen.push(at);
  usePen();
}
for (const name of ["pointerdown", "pointermove"]) $("plane").addEventListener(name, pen);

// The tape.
for (const [id, critic] of [
  ["tape-critic", true],
  ["tape-generator", false],
]) {
  $(id).addEventListener("click", async () => {
    const told = await order("tape", { critic });
    if (!told) return;
    lab.tape = told.entries;
    $("tape-box").hidden = false;
    $("tape-time").max = lab.tape.length - 1;
    $("tape-note").textContent =
      `The update of the ${told.names} that would be made now: ${lab.tape.length} entries, loss ${short(told.loss)}.` +
      (critic && lab.about.model === "wgan-gp" ? " x̂ = G(z) + ε·(x − G(z)), ε uniform between 0 and 1." : "");
    $("tape-list").replaceChildren(
      ...lab.tape.map((entry, i) => {
        const item = document.createElement("li");
        item.textContent = line(entry);
        item.className = entry.kind === "node" ? "" : entry.kind === "walk" ? "walk" : "back";
        item.addEventListener("click", () => showEntry(i));
        return item;
      }),
    );
    showEntry(0);
  });
}

const line = (e) =>
  ({
    node: () =>
      `${e.id} = ${e.called ? `${e.called}: ` : ""}${e.name}(${e.inputs.join(", ")})  ${e.value.shape}`,
    walk: () => `back from ${e.id}`,
    rule: () => `rule of ${e.id}, ${e.name}`,
    grad: () => `${e.id} gives ${e.to} its gradient  ${e.grad.shape}`,
  })[e.kind]();

function showEntry(i) {
  lab.at = Math.min(Math.max(i, 0), lab.tape.length - 1);
  const entry = lab.tape[lab.at],
    numbers = entry.value || entry.grad,
    box = $("tape-entry");
  const rows = [line(entry)];
  if (entry.rule) rows.push(entry.rule);
  const what = entry.kind === "node" ? "value" : entry.kind === "grad" ? "gradient given" : "gradient that arrives";
  rows.push(
    `${what}, shape ${numbers.shape}: ${short(numbers.least)} … ${short(numbers.greatest)}, ` +
      `mean ${short(numbers.mean)}`,
  );
  rows.push(`first: ${numbers.first.map(short).join(", ")}`);
  box.replaceChildren(
    ...rows.map((text, k) => {
      const p = document.createElement(k ? "p" : "h2");
      p.textContent = text;
      return p;
    }),
  );
  $("tape-time").value = lab.at;
  $("tape-place").textContent = `${lab.at + 1} of ${lab.tape.length}`;
  [...$("tape-list").children].forEach((item, k) => {
    item.classList.toggle("now", k === lab.at);
    item.classList.toggle("later", k > lab.at);
  });
  const item = $("tape-list").children[lab.at],
    list = $("tape-list");
  list.scrollTop = item.offsetTop - list.offsetTop - list.clientHeight / 2;
}
$("tape-back").addEventListener("click", () => showEntry(lab.at - 1));
$("tape-on").addEventListener("click", () => showEntry(lab.at + 1));
$("tape-time").addEventListener("input", () => showEntry(Number($("tape-time").value)));
window.addEventListener("recolour", () => {
  plane.draw();
  if (lab.about) drawCurves();
});
