"use strict";
(() => {
  const runs = [...document.querySelectorAll(".run")];
  const buttons = [...document.querySelectorAll("[data-show]")];
  const search = document.getElementById("search");
  let shown = "";
  function apply() {
    const word = search.value.toLowerCase();
    let count = 0;
    for (const run of runs) {
      const hasStatus = !shown || run.dataset.word === shown;
      const hasWarning = shown === "warned" && run.dataset.warned;
      const matches = (hasStatus || hasWarning) && run.dataset.name.toLowerCase().includes(word);
      run.hidden = !matches;
      count += matches;
    }
    document.getElementById("nothing").hidden = count > 0;
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.show === shown));
    }
  }
  for (const button of buttons) {
    button.addEventListener("click", () => {
      shown = button.dataset.show;
      apply();
    });
  }
  if (search) search.addEventListener("input", apply);
  document.body.dataset.ready = "yes";
})();
