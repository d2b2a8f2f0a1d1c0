// Slow motion: a step has been made, and is shown stage by stage.
"use strict";

// How long a stage stands: as long as its caption takes to read, and no less than this.
const STAGE_MS = 1250,
  LETTER_MS = 30;

$("slow").addEventListener("click", async () => {
  if (!(await fromHere())) return;
  lab.slow = { timer: null };
  const told = await order("slow");
  if (!told || !lab.slow) return endSlow();
  Object.assign(lab.slow, told, { stage: 0 });
  $("slow-box").hidden = false;
  run();
  showStage();
});

// Stages follow each other, until somebody holds them or turns them over by hand.
function run() {
  const { slow } = lab;
  clearTimeout(slow.timer);
  const time = Math.max(STAGE_MS, LETTER_MS * slow.stages[slow.stage].caption.length);
  slow.timer = setTimeout(() => {
    turn(1);
    if (lab.slow) run();
  }, time);
  $("slow-hold").textContent = "Hold";
}
function hold() {
  clearTimeout(lab.slow.timer);
  lab.slow.timer = null;
  $("slow-hold").textContent = "Run";
}
function turn(by) {
  lab.slow.stage = Math.max(lab.slow.stage + by, 0);
  if (lab.slow.stage < lab.slow.stages.length) showStage();
  else endSlow();
}
$("slow-hold").addEventListener("click", () => (lab.slow.timer === null ? run() : hold()));
for (const [id, by] of [
  ["slow-back", -1],
  ["slow-on", 1],
])
  $(id).addEventListener("click", () => {
    hold();
    turn(by);
  });

// What the plane shows in each stage: nothing of it is of other points than those of the updates.
function overlayOf(what, slow) {
  const { real, generated, penalised, pulls, noised } = slow;
  const batch = { real, generated },
    before = { heat: slow.critic, mesh: slow.mesh },
    after = { heat: slow.critic_after, mesh: slow.mesh };
  const pulled = [
    { at: real, lengths: pulls.real, colour: "--c3" },
    { at: generated, lengths: pulls.generated, colour: "--c2" },
  ];
  return {
    real: () => ({ real }),
    generated: () => ({ ...batch, mesh: slow.mesh }),
    values: () => ({ ...batch, ...before }),
    penalty: () => ({
      ...batch,
      heat: slow.critic,
      between: [real, generated],
      bars: [{ at: penalised.points, lengths: penalised.norms, colour: "--ink", tick: 1 }],
    }),
    backward: () => ({ ...batch, heat: slow.critic, bars: pulled }),
    "critic-moved": () => ({ ...batch, heat: slow.change, range: [-1, 1] }),
    noise: () => ({ generated: noised, mesh: slow.mesh }),
    judged: () => ({ generated: noised, ...after }),
    push: () => ({ generated: noised, heat: slow.critic_after, arrows: { from: noised, by: slow.push } }),
    moved: () => ({
      generated: slow.moved,
      real: lab.about.real,
      heat: slow.critic_after,
      mesh: slow.mesh_after,
      arrows: { from: noised, by: slow.moves },
    }),
  }[what]();
}

function showStage() {
  const { slow } = lab;
  const { net, show: what, caption } = slow.stages[slow.stage];
  $("caption").textContent = `${net} ${slow.stage + 1}/${slow.stages.length}: ${caption}`;
  if (what === "critic-moved") [$("low").textContent, $("high").textContent] = ["has fallen", "has risen"];
  else nameColours();
  plane.overlay = overlayOf(what, slow);
  plane.draw();
}

function endSlow() {
  if (!lab.slow) return;
  clearTimeout(lab.slow.timer);
  lab.slow = null;
  plane.overlay = null;
  nameColours();
  $("slow-box").hidden = true;
  if (lab.last) {
    show(lab.last);
    drawCurves();
  }
}
