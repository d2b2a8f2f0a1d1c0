// Experiments: one says what will happen, then sees it.
"use strict";

function showExperiment() {
  const number = Number($("experiment").value),
    experiment = lab.about.experiments[number];
  $("question").textContent = experiment.question;
  $("verdict").textContent = "";
  $("choices").replaceChildren(
    ...experiment.choices.map((choice, i) => {
      const button = document.createElement("button");
      button.textContent = choice;
      button.addEventListener("click", () => tryOut(number, i));
      return button;
    }),
  );
}

// Only once somebody has said what will happen, it happens.
async function tryOut(number, said) {
  endSlow();
  const experiment = lab.about.experiments[number],
    buttons = [...$("choices").children];
  for (const button of buttons) button.disabled = true;
  buttons[said].setAttribute("aria-pressed", "true");
  $("verdict").textContent = "…";
  const done = await order("try", { experiment: number });
  if (!buttons[0].isConnected) return; // Another one has been chosen.
  if (!done) return showExperiment();
  const right = experiment.choices[experiment.answer];
  const judgement = said === experiment.answer ? "So it is." : `No, the answer is “${right}”.`;
  $("verdict").textContent = `${judgement} ${experiment.why}`;
}

// With the first news.
function offerExperiments() {
  if ($("experiment").children.length) return;
  $("experiment").replaceChildren(
    ...lab.about.experiments.map(({ title }, i) => {
      const option = document.createElement("option");
      option.value = i;
      option.textContent = title;
      return option;
    }),
  );
  showExperiment();
}
$("experiment").addEventListener("change", showExperiment);
