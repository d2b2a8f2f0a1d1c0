// Slow motion: a step has been made, and is shown stage by stage.
"use strict";

const STAGE_MS = 1250; // how long a stage stands

$("slow").addEventListener("click", async () => {
  follow();
  const before = lab.last;
  lab.slow = { before };
  const told = await order("slow");
  if (!told || !lab.slow) return endSlow();
  Object.assign(lab.slow, told, { stage: 0 });
  $("slow-box").hidden = false;
  showStage();
  run();
});

// Stages follow each other, until somebody holds them or turns them over by hand.
function run() {
  hold();
  lab.slow.timer = setInterval(() => turn(1), STAGE_MS);
  $("slow-hold").textContent = "Hold";
}
function hold() {
  clearInterval(lab.slow.timer);
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

function showStage() {
  const { slow } = lab,
    { before } = slow,
    after = lab.last;
  const { net, show: what, caption } = slow.stages[slow.stage];
  $("caption").textContent = `${net === "critic" ? "D" : "G"} ${slow.stage + 1}/${slow.stages.length}: ${caption}`;
  const overlays = {
    real: { real: slow.real, generated: [], arrows: null },
    generated: { real: slow.real, generated: slow.generated, arrows: null },
    values: { real: slow.real, generated: slow.generated, arrows: null },
    backward: { real: slow.real, generated: slow.generated, arrows: null },
    "critic-moved": { real: slow.real, generated: slow.generated, arrows: null, critic: after.critic },
    noise: { generated: before.generated, arrows: null, critic: after.critic },
    arrows: { generated: before.generated, from: before.generated, arrows: slow.arrows, critic: after.critic },
    through: { generated: before.generated, from: before.generated, arrows: slow.arrows, critic: after.critic },
    moved: { generated: after.generated, mesh: after.mesh, arrows: null, critic: after.critic },
  };
  plane.frame = before;
  plane.overlay = { mesh: before.mesh, ...overlays[what] };
  plane.draw();
}

function endSlow() {
  if (!lab.slow) return;
  clearInterval(lab.slow.timer);
  lab.slow = null;
  plane.overlay = null;
  $("slow-box").hidden = true;
  if (lab.last) {
    show(lab.last);
    drawCurves();
  }
}
