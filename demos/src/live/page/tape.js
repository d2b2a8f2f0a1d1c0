// The tape of one update, forward and back, entry by entry.
"use strict";

for (const [id, critic] of [
  ["tape-critic", true],
  ["tape-generator", false],
]) {
  $(id).addEventListener("click", async () => {
    const { script, step } = lab.frame,
      told = await order("tape", { critic, script });
    if (!told) return;
    lab.tape = told.entries;
    lab.tapeOf = script;
    $("tape-box").hidden = false;
    $("tape-time").max = lab.tape.length - 1;
    $("tape-note").textContent =
      `The update that “${critic ? "D" : "G"} only” would make at step ${step}: ${lab.tape.length} entries, ` +
      `loss ${short(told.loss)}.` +
      (critic && lab.about.model === "wgan-gp" ? " x̂ = G(z) + ε·(x − G(z)), ε uniform between 0 and 1." : "");
    markTape();
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

// A tape of another state than the one that is shown is pale, and says so.
function markTape() {
  const stale = lab.tapeOf !== null && lab.tapeOf !== lab.frame.script;
  $("tape-box").classList.toggle("stale", stale);
  $("tape-stale").hidden = !stale || $("tape-box").hidden;
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
