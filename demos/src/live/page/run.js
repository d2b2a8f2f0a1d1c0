// The page about a run: what comes is kept and drawn.
"use strict";
// The most bytes of pictures that are kept, so that they can be seen once the program has ended.
const MOST_KEPT = 64e6;

const run = {
  about: {},
  losses: [],
  samples: [],
  evaluations: [],
  looks: [],
  pictures: new Map(), // of samples
  maps: new Map(), // pictures of attention
  status: "",
};
const charts = {
  losses: new Chart($("losses"), $("losses-keys"), { x: "step", y: "loss" }),
  outputs: new Chart($("outputs"), $("outputs-keys"), { x: "step", y: "mean output" }),
  distances: new Chart($("distances"), $("distances-keys"), { x: "step", y: "Fréchet distance", log: true }),
  sigmas: new Chart($("sigmas"), $("sigmas-keys"), { x: "step", y: "σ(W)" }),
  spectra: new Chart($("spectra"), $("spectra-keys"), {
    x: "rank: 0 the largest, 1 the smallest",
    y: "σᵢ / σ₁",
    range: [0, 1.02],
    xRange: [0, 1],
  }),
};
const source = new EventSource("events");

source.addEventListener("update", (event) => take(JSON.parse(event.data)));
source.onerror = () => {
  if (run.status !== "over") show("lost", "The program has ended, or does not answer. What it has shown stays here.");
};

async function take(news) {
  if (news.about) begin(news.about);
  for (const name of ["losses", "evaluations", "looks"]) for (const row of news[name]) run[name].push(row);
  const wasLast = Number($("time").value) >= run.samples.length - 1;
  for (const step of news.samples) run.samples.push(step);
  $("time").max = Math.max(run.samples.length - 1, 0);
  if (wasLast) $("time").value = run.samples.length - 1;
  if (news.pace) [run.speed, run.left] = news.pace;
  show(news.status, news.reason);
  $("note").textContent = news.note;
  draw();
  await Promise.all([keepPictures(), keepAttention(news.attentions)]);
  // Only now does the program end that waits for us.
  if (news.status === "over") source.close();
}

function begin(about) {
  Object.assign(run, {
    about,
    losses: [],
    samples: [],
    evaluations: [],
    looks: [],
    drawn: null,
    speed: NaN,
    left: NaN,
  });
  for (const { url } of run.pictures.values()) URL.revokeObjectURL(url);
  run.pictures.clear();
  for (const url of run.maps.values()) URL.revokeObjectURL(url);
  run.maps.clear();
  $("title").textContent = about.title;
  document.title = `gan: ${about.title}`;
  $("dir").textContent = about.dir;
  $("only-looks").textContent = about.only_looks || "";
  $("buttons").hidden = about.only_looks !== null;
  $("settings").replaceChildren(
    ...Object.entries(about.settings).map(([key, value]) => {
      const [row, name, text] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      name.textContent = key;
      text.textContent = typeof value === "string" ? value : JSON.stringify(value);
      row.append(name, text);
      return row;
    }),
  );
  const critic = about.wasserstein,
    of = about.logits ? "logit of " : "",
    names = critic ? ["f(x)", "f(G(z))"] : ["D(x)", "D(G(z))"];
  run.outputs = names.map((name) => of + name);
  $("outputs-title").textContent = `${about.logits ? "Logits of " : ""}${names.join(" and ")}`;
  [$("d-real-name").textContent, $("d-fake-name").textContent] = run.outputs;
  $("outputs-note").textContent = critic
    ? "Means of the critic’s values over the last batch of each step; their difference is its estimate of W."
    : about.logits
      ? "Means over the last batch of each step: D is the sigmoid of its logit, ½ at 0, more for “real”."
      : "Means of the discriminator’s outputs over the last batch of each step, positive for “real”.";
  $("losses-title").textContent = critic ? "Critic’s estimate" : "Losses";
  charts.losses.y = !critic ? "loss" : about.penalty ? "estimate of W" : "estimate of K·W, K unknown";
}

// The step of the picture that is shown, where it is not the last.
function lookedBackAt() {
  const i = Number($("time").value);
  return i < run.samples.length - 1 ? run.samples[i] : null;
}

const words = {
  running: "running",
  paused: "paused",
  stopping: "stopping",
  over: "over",
  watching: "from files",
  lost: "no connection",
};

function show(status, reason) {
  run.status = status;
  const last = run.losses[run.losses.length - 1];
  $("status").textContent = status === "watching" && last && last[0] >= run.about.steps ? "finished" : words[status];
  $("status").dataset.status = status;
  $("reason").textContent = status === "over" || status === "lost" ? reason : "";
  $("pause").disabled = status !== "running";
  $("go-on").disabled = status !== "paused";
  $("stop").disabled = status !== "running" && status !== "paused";
}

// The pictures that are there and not here yet; every second one goes if they become too many.
async function keepPictures() {
  for (const step of run.samples.slice()) {
    if (!run.pictures.has(step)) await picture(step).catch(() => null);
  }
  showSample();
}

async function picture(step) {
  const known = run.pictures.get(step);
  if (known && known.url) return known.url;
  run.pictures.set(step, { bytes: 0 });
  const answer = await fetch(`samples/${step}.png`).catch(() => null);
  if (!answer || !answer.ok) {
    run.pictures.delete(step);
    return null;
  }
  const blob = await answer.blob(),
    url = URL.createObjectURL(blob);
  run.pictures.set(step, { url, bytes: blob.size });
  let total = [...run.pictures.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  if (total > MOST_KEPT) {
    [...run.pictures]
      .filter((_, i) => i % 2 === 1)
      .forEach(([other, { url }]) => {
        if (other !== step && url) {
          URL.revokeObjectURL(url);
          run.pictures.set(other, { bytes: 0, gone: true });
        }
      });
  }
  return url;
}

// Pictures of attention that are there and not here yet; those that the program no longer keeps stay here.
async function keepAttention(steps) {
  for (const step of steps.filter((step) => !run.maps.has(step))) {
    const answer = await fetch(`attention/${step}.png`).catch(() => null);
    if (answer && answer.ok) run.maps.set(step, URL.createObjectURL(await answer.blob()));
  }
  showAttention();
}

// The last picture of attention up to the step that is shown, or the first one.
function showAttention() {
  const shown = lookedBackAt() ?? Infinity,
    steps = [...run.maps.keys()].sort((a, b) => a - b);
  if (!steps.length) return;
  const step = steps.filter((step) => step <= shown).pop() ?? steps[0];
  if ($("attention").src !== run.maps.get(step)) $("attention").src = run.maps.get(step);
  $("attention-step").textContent = `step ${step}`;
  $("attention-card").hidden = false;
}

async function showSample() {
  const step = run.samples[Number($("time").value)];
  if (step === undefined) return;
  const known = run.pictures.get(step),
    url = known && known.url ? known.url : known && known.gone ? await picture(step) : null;
  if (url && $("sample").src !== url) $("sample").src = url;
  $("sample-step").textContent = `step ${step}`;
}

function draw() {
  const last = run.losses[run.losses.length - 1],
    { about } = run;
  $("step").textContent = last ? last[0] : 0;
  $("steps").textContent = `of ${about.steps} steps`;
  $("bar").firstElementChild.style.width = `${(100 * (last ? last[0] : 0)) / about.steps}%`;
  $("bar").setAttribute("aria-valuemax", about.steps);
  $("bar").setAttribute("aria-valuenow", last ? last[0] : 0);
  $("speed").textContent = run.speed >= 100 ? Math.round(run.speed) : short(run.speed);
  $("left").textContent = human(run.left);
  if (last)
    ["d-loss", "g-loss"].forEach((id, i) => {
      $(id).textContent = short(last[1 + i]);
    });
  if (last)
    ["d-real", "d-fake"].forEach((id, i) => {
      $(id).textContent = short(last[4 + i]);
    });
  showSample();
  showAttention();
  if (document.hidden) return;
  const xs = run.losses.map((row) => row[0]),
    ys = (i) => run.losses.map((row) => row[i]),
    back = lookedBackAt();
  charts.losses.set(
    about.wasserstein
      ? [{ name: "estimate", colour: "--c1", xs, ys: ys(3) }]
      : [
          { name: "discriminator", colour: "--c1", xs, ys: ys(1) },
          { name: "generator", colour: "--c2", xs, ys: ys(2) },
        ],
    back,
  );
  charts.outputs.set(
    [
      { name: run.outputs[0], colour: "--c1", xs, ys: ys(4) },
      { name: run.outputs[1], colour: "--c2", xs, ys: ys(5) },
    ],
    back,
  );
  // Drawing costs training its time: what is as it was, is left.
  const known = `${run.evaluations.length} ${run.looks.length} ${$("time").value} ${isDark()}`;
  if (known === run.drawn) return;
  run.drawn = known;
  drawDistances();
  drawLayers();
}

function drawDistances() {
  const all = run.evaluations,
    last = all[all.length - 1];
  const every = run.about.settings && run.about.settings.evaluate_every;
  $("distances-card").hidden = !last && !every;
  $("frechet-tile").hidden = !last;
  if (!last) {
    $("figures").textContent = `The first evaluation comes after ${every} steps.`;
    return charts.distances.set([]);
  }
  const comparable = all.filter((e) => e.n === last.n).sort((a, b) => a.step - b.step),
    xs = comparable.map((e) => e.step);
  charts.distances.set(
    [
      { name: "generated", colour: "--c1", xs, ys: comparable.map((e) => e.frechet) },
      { name: "real against real", colour: "--c3", dashed: true, xs, ys: comparable.map((e) => e.real.frechet) },
    ],
    lookedBackAt(),
  );
  $("frechet").textContent = short(last.frechet);
  $("figures").textContent =
    `Step ${last.step}, ${last.n} images: kernel distance × 1000 ${short(1e3 * last.kernel)} ` +
    `(real ${short(1e3 * last.real.kernel)}), precision ${short(last.precision)}, recall ${short(last.recall)}.`;
}

function drawLayers() {
  const net = $("net").value,
    step = run.samples[Number($("time").value)];
  if (!run.looks.length) return;
  const layers = run.looks[0].layers.map((layer, i) => [layer, i]).filter(([layer]) => layer.net === net);
  const tone = (k) => `hsl(${Math.round(210 + (300 * k) / layers.length)} 65% ${isDark() ? 68 : 45}%)`;
  const divided = layers.some(([layer]) => layer.used !== null);
  charts.sigmas.y = divided ? "σ of the weight used" : "σ(W)";
  charts.sigmas.set(
    layers.map(([layer, i], k) => ({
      name: layer.name,
      colour: tone(k),
      xs: run.looks.map((look) => look.step),
      ys: run.looks.map((look) => look.layers[i].used ?? look.layers[i].sigma),
    })),
    lookedBackAt(),
  );
  const before = run.looks.filter((look) => step === undefined || look.step <= step);
  const look = before[before.length - 1] || run.looks[0];
  charts.spectra.set(
    layers.map(([layer, i], k) => ({
      name: layer.name,
      colour: tone(k),
      xs: look.layers[i].spectrum.map((p) => p[0]),
      ys: look.layers[i].spectrum.map((p) => p[1]),
    })),
  );
  $("spectra-step").textContent = `${net}, step ${look.step}`;
  const raw = layers.map(([, i]) => look.layers[i].sigma);
  $("sigmas-note").textContent =
    "The largest singular value of each layer’s weight as a matrix; layers by their names in gan info." +
    (divided
      ? " The layers use W/σ̂, with σ̂ by power iteration: 1 where that is exact. " +
        `Of W itself σ is ${short(Math.min(...raw))} to ${short(Math.max(...raw))} at step ${look.step}.`
      : "");
}

for (const id of ["pause", "go-on", "stop"]) {
  $(id).addEventListener("click", () =>
    command(`do/${id}`).catch((error) => {
      $("note").textContent = error.message;
    }),
  );
}
$("time").addEventListener("input", draw);
$("net").addEventListener("change", drawLayers);
let playing = null;
$("play").addEventListener("click", () => {
  const stop = () => {
    clearInterval(playing);
    playing = null;
    $("play").setAttribute("aria-pressed", "false");
  };
  if (playing) return stop();
  $("play").setAttribute("aria-pressed", "true");
  if (Number($("time").value) >= run.samples.length - 1) $("time").value = 0;
  playing = setInterval(() => {
    if (Number($("time").value) >= run.samples.length - 1) return stop();
    $("time").value = Number($("time").value) + 1;
    draw();
  }, 150);
});
document.addEventListener("visibilitychange", draw);
window.addEventListener("recolour", draw);
