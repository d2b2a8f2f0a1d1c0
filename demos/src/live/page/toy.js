// The page about a toy: what is pressed becomes an order, what comes back is drawn.
"use strict";

const TAPE_NOTE = $("tape-note").textContent;
const ENDED = "The program has ended, or does not answer. What this page has seen stays here.";

const lab = {
  about: null,
  frame: null,
  last: null,
  kept: [],
  seen: new Map(), // frames by their numbers, to come back to when the program has ended
  number: null, // that of the frame that is shown
  begun: null, // told when a beginning has come
  curves: [],
  playing: false,
  slow: null,
  tape: [],
  tapeOf: null, // the script of the state that the tape belongs to
  at: 0,
  pen: [],
};
const MOST_DRAWN = 100;
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
  ["critic", "critic", "heat", true],
  ["arrows", "gradients", "--ink", true],
  ["mesh", "generator’s mesh", "--c4", true],
  ["pairing", "optimal pairs (W₁)", "--c6", false],
  ["optimum", "the optimum instead of D", "heat", false],
];
for (const [id, name, key, on] of LAYERS) {
  const label = document.createElement("label"),
    box = document.createElement("input"),
    mark = document.createElement("i");
  box.type = "checkbox";
  box.id = `layer-${id}`;
  box.checked = on;
  if (key === "heat") mark.className = "heat";
  else mark.style.setProperty("--key", `var(${key})`);
  const words = document.createElement("span");
  words.textContent = name;
  label.append(box, mark, words);
  $("layers").append(label);
  if (on) plane.layers.add(id);
  box.addEventListener("change", () => {
    if (box.checked) plane.layers.add(id);
    else plane.layers.delete(id);
    if (id === "optimum") {
      askForOptimum();
      wantOptimum();
    }
    nameColours();
    plane.draw();
  });
}

// Orders leave one after another: of two that are under way, the second may arrive first.
let ordered = Promise.resolve();
function order(name, body = {}) {
  ordered = ordered.then(() => ask(name, body));
  return ordered;
}
async function ask(name, body) {
  try {
    $("note").textContent = "";
    return await command(`do/${name}`, body);
  } catch (error) {
    // What is no answer at all is a TypeError.
    $("note").textContent = error instanceof TypeError ? ENDED : error.message;
    return null;
  }
}

const source = new EventSource("events");
source.onerror = () => {
  $("status").textContent = "no connection";
  $("status").dataset.status = "lost";
  $("note").textContent = ENDED;
};
source.addEventListener("update", (event) => {
  const news = JSON.parse(event.data);
  if (news.about) begin(news.about, news.past);
  lab.playing = news.playing;
  lab.last = news.frame;
  lab.lastNumber = news.number;
  if (news.note) $("note").textContent = news.note;
  else if ($("note").textContent === ENDED) $("note").textContent = "";
  remember(news.frame);
  const wasLast = !lab.looksBack;
  keep(news.kept);
  lab.seen.set(news.number, news.frame);
  $("status").textContent = news.playing ? "playing" : "paused";
  $("status").dataset.status = news.playing ? "running" : "paused";
  usePlay();
  if (lab.slow) return; // it shows the frame at its end
  if (wasLast) {
    lab.number = news.number;
    show(news.frame);
  }
  drawCurves();
});

// The states that there are to go back to. The one that is looked at stays among them, and the slider at it.
function keep(kept) {
  const own = lab.looksBack && kept.every(([number]) => number !== lab.number);
  if (own) kept = [...kept, [lab.number, lab.frame.step]].sort(([a], [b]) => a - b);
  lab.kept = kept;
  const numbers = new Set(kept.map(([number]) => number));
  for (const number of lab.seen.keys()) if (!numbers.has(number)) lab.seen.delete(number);
  if (own) lab.seen.set(lab.number, lab.frame);
  $("time").max = Math.max(kept.length - 1, 0);
  $("time").value = lab.looksBack ? kept.findIndex(([number]) => number === lab.number) : kept.length - 1;
}

// Which buttons mean something.
function usePlay() {
  $("play").disabled = lab.playing && !lab.looksBack;
  $("pause").disabled = !lab.playing;
  $("go-back").disabled = !lab.looksBack;
}

function begin(about, past) {
  // After going back the beginning is the same, and what has been typed or drawn stays.
  const other = !lab.about || lab.about.command !== about.command;
  lab.about = plane.about = about;
  lab.curves = [];
  lab.looksBack = false;
  if (lab.begun) lab.begun();
  past.forEach(remember);
  endSlow();
  $("tape-box").hidden = true;
  lab.tapeOf = null;
  $("tape-note").textContent = TAPE_NOTE;
  offerExperiments();
  $("title").textContent = `gan toy: ${about.model} on ${about.toy === "drawn" ? "a drawing" : about.toy}`;
  $("steps").textContent = `of ${about.steps}`;
  if (other) {
    $("toy").value = about.toy;
    $("model").value = about.model;
    $("seed").value = about.seed;
    forgetTyped();
    useNumber(about.number);
    if (about.toy === "drawn") lab.pen = [...about.centres];
  }
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
        "pairs: of all f with slopes up to 1 in the plane, none has a greater E f(x) − E f(y), which is W₁. " +
        "Slopes are") +
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
  if ($("model").value === lab.about.model) fillRates(frame.rates);
  markTape();
  wantOptimum();
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
  const [number] = lab.kept[Number($("time").value)];
  endSlow();
  lab.wanted = number;
  const frame = number === lab.lastNumber ? lab.last : await frameOf(number);
  if (lab.wanted !== number) return; // the slider has moved on
  if (frame) {
    lab.looksBack = number !== lab.lastNumber;
    lab.number = number;
    show(frame);
    usePlay();
    drawCurves();
  } else if ($("note").textContent !== ENDED) {
    $("note").textContent = "This state is kept no more.";
  }
  keep(lab.kept);
});

// A frame that has been seen, or is fetched now; null if it is not to be had.
async function frameOf(number) {
  if (lab.seen.has(number)) return lab.seen.get(number);
  try {
    const answer = await fetch(`frame/${number}`);
    if (!answer.ok) return null;
    const frame = await answer.json();
    lab.seen.set(number, frame);
    return frame;
  } catch {
    $("note").textContent = ENDED;
    return null;
  }
}

// Whatever is done next begins with the state that is shown: if it is an earlier one, what came after is forgotten.
async function fromHere() {
  endSlow();
  if (!lab.looksBack) return true;
  const begun = new Promise((resolve) => {
    lab.begun = resolve;
  });
  const gone = await order("go-to", { script: lab.frame.script });
  if (gone) await begun;
  return gone !== null;
}
$("go-back").addEventListener("click", fromHere);

// D* is made where it is looked at: it takes longer than the rest. While it plays, frames come with it for a page that
// says so again and again; of a state that stays it is asked for once the slider stands still.
function wantOptimum() {
  clearTimeout(lab.optimumTimer);
  const { frame } = lab;
  if (!plane.layers.has("optimum") || !frame || frame.optimum || (lab.playing && !lab.looksBack)) return;
  lab.optimumTimer = setTimeout(async () => {
    try {
      frame.optimum = await command("do/optimum-at", { script: frame.script });
      if (lab.frame === frame) plane.draw();
    } catch {
      // The plane says that there is none.
    }
  }, 200);
}
function askForOptimum() {
  if (plane.layers.has("optimum") && source.readyState === EventSource.OPEN) command("do/optimum").catch(() => {});
}
setInterval(askForOptimum, 2000);

for (const [id, name, body] of [
  ["play", "play", () => ({ steps: Number($("speed").value) })],
  ["one", "step", () => ({ steps: 1 })],
  ["critic-alone", "critic", () => ({})],
  ["generator-alone", "generator", () => ({})],
])
  $(id).addEventListener("click", async () => {
    if (await fromHere()) order(name, body());
  });
$("pause").addEventListener("click", () => order("pause"));
$("speed").addEventListener("change", () => {
  if (lab.playing) order("play", { steps: Number($("speed").value) });
});

// What is typed stays until it is applied, whatever frames come meanwhile.
const TYPED = ["lr", "lr-d", "n-dis", "number"];
for (const id of TYPED) $(id).addEventListener("input", () => $(id).classList.add("typed"));
function forgetTyped() {
  for (const id of TYPED) $(id).classList.remove("typed");
}
function fill(id, value) {
  if (!$(id).classList.contains("typed")) $(id).value = value;
}
function fillRates(rates) {
  fill("lr", rates.lr);
  fill("lr-d", rates.lr_d ?? rates.lr);
  fill("n-dis", rates.n_dis);
}
// The number that goes with the method that is chosen, if one does.
function useNumber(value) {
  $("number-box").hidden = value === null;
  $("number-name").textContent = { wgan: "clip c", "wgan-gp": "penalty λ", sngan: "bound K" }[$("model").value] ?? "";
  fill("number", value ?? "");
}
$("model").addEventListener("change", () => {
  const same = $("model").value === lab.about.model,
    usual = lab.about.usual[$("model").value];
  forgetTyped();
  fillRates(same ? lab.frame.rates : usual);
  useNumber(same ? lab.about.number : usual.number);
});

// The numbers of these fields, by their names; null, and a note, if one is none.
function numbers(ids) {
  const found = {};
  for (const id of ids) {
    const x = Number($(id).value),
      good = id === "n-dis" ? Number.isInteger(x) && x >= 1 && x <= 100 : x > 0 && Number.isFinite(x);
    if (!good) {
      const name = $(id).closest("label").textContent.trim(),
        expected = id === "n-dis" ? "a whole number from 1 to 100" : "a number above 0";
      $("note").textContent = `${name}: found ${$(id).value || "nothing"}; expected ${expected}`;
      return null;
    }
    found[id] = x;
  }
  return found;
}
$("start").addEventListener("click", async () => {
  const toy = $("toy").value,
    seed = $("seed").value,
    points = toy === "drawn" ? lab.pen.map(([x, y]) => `${x},${y}`).join(" ") : null;
  if (toy === "drawn" && !lab.pen.length) return ($("note").textContent = "Draw some points on the plane first.");
  if (!/^\d+$/.test(seed)) {
    return ($("note").textContent = `seed: found ${seed || "nothing"}; expected a whole number from 0 on`);
  }
  const typed = numbers($("number-box").hidden ? ["lr", "lr-d", "n-dis"] : TYPED);
  if (!typed) return;
  endSlow();
  if (await order("start", { toy, points, model: $("model").value, seed, ...typed })) forgetTyped();
});
$("set").addEventListener("click", async () => {
  const note = (text) => ($("note").textContent = text);
  if ($("model").value !== lab.about.model) return note("Another method is chosen: it begins with a restart.");
  const { rates } = lab.frame,
    now = { lr: rates.lr, "lr-d": rates.lr_d ?? rates.lr, "n-dis": rates.n_dis },
    typed = numbers(Object.keys(now));
  if (!typed) return;
  if (Object.keys(now).every((id) => typed[id] === now[id])) {
    for (const id of Object.keys(now)) $(id).classList.remove("typed");
    return note("Nothing to apply: these are the rates of the state that is shown.");
  }
  const changed = (id) => (typed[id] === now[id] ? null : typed[id]);
  if (!(await fromHere())) return;
  const body = { lr: changed("lr"), "lr-d": changed("lr-d"), "n-dis": changed("n-dis") };
  if (await order("set", body)) for (const id of Object.keys(now)) $(id).classList.remove("typed");
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
  const n = lab.pen.length;
  $("pen-count").textContent = `${n} of ${MOST_DRAWN} points${n < MOST_DRAWN ? "" : ": no more fit"}.`;
  plane.draw();
}
$("toy").addEventListener("change", usePen);
$("erase").addEventListener("click", () => {
  lab.pen = [];
  usePen();
});
// A stroke: the line through all places where the pen has been, however fast it went, with a point every 0.06.
function pen(event) {
  if ($("toy").value !== "drawn" || event.buttons === 0) return;
  const box = $("plane").getBoundingClientRect(),
    h = lab.about.half_side;
  const clamp = (x) => Math.min(Math.max((x / h) * 1.4, -1.4), 1.4);
  const places = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const { clientX, clientY } of places.length ? places : [event]) {
    const to = plane.point(clientX - box.left, clientY - box.top).map(clamp),
      from = (event.type === "pointermove" && lab.penAt) || to;
    const pieces = Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) / 0.01) || 1;
    for (let k = 1; k <= pieces; k++) dot([0, 1].map((i) => from[i] + ((to[i] - from[i]) * k) / pieces));
    lab.penAt = to;
  }
  usePen();
}
function dot(point) {
  const at = point.map((x) => Number(x.toFixed(2)));
  const far = lab.pen.every(([x, y]) => Math.hypot(x - at[0], y - at[1]) > 0.06);
  if (far && lab.pen.length < MOST_DRAWN) lab.pen.push(at);
}
for (const name of ["pointerdown", "pointermove"]) $("plane").addEventListener(name, pen);
for (const name of ["pointerup", "pointerleave", "pointercancel"]) {
  $("plane").addEventListener(name, () => {
    lab.penAt = null;
  });
}

window.addEventListener("recolour", () => {
  plane.draw();
  if (lab.about) drawCurves();
});
