// Draws the charts of this page, and lets its legends single out one line.
"use strict";

const views = new Map(); // section -> its views

async function draw(data) {
  const box = document.getElementById(data.dataset.chart);
  const still = [...box.childNodes]; // the picture that is shown without scripts
  box.replaceChildren();
  try {
    const { view } = await vegaEmbed(box, JSON.parse(data.textContent), {
      mode: "vega-lite",
      renderer: "svg",
      actions: false,
      defaultStyle: false,
      ast: true, // expressions are interpreted: the page's policy forbids eval
      tooltip: { disableDefaultStyle: true },
    });
    box.classList.add("drawn");
    const section = box.closest("section");
    views.set(section, [...(views.get(section) ?? []), view]);
    view.addEventListener("click", (event, item) => {
      const index = item?.datum?.index;
      if (Number.isInteger(index)) choose(section, index);
    });
  } catch (problem) {
    box.replaceChildren(...still);
    console.error(problem);
  }
}

function choose(section, index) {
  let chosen = -1;
  for (const button of section.querySelectorAll("button[data-index]")) {
    const pressed = Number(button.dataset.index) === index && button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(pressed));
    if (pressed) chosen = index;
  }
  for (const view of views.get(section) ?? []) view.signal("highlight", chosen).runAsync();
}

for (const button of document.querySelectorAll("button[data-index]")) {
  button.disabled = false;
  button.addEventListener("click", () => choose(button.closest("section"), Number(button.dataset.index)));
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = button.nextElementSibling;
    getSelection().selectAllChildren(text);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected"; // some browsers, of files
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

(async () => {
  for (const data of document.querySelectorAll("script[data-chart]")) await draw(data);
  document.documentElement.dataset.ready = "true";
})();
