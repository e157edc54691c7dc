"use strict";
// Draws every figure of the report in the colours of the page, again when these change, and narrow and light on paper.
(function () {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paper = matchMedia("print");
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const places = [...document.querySelectorAll(".chart")];
  const figures = places.map((place) => JSON.parse(place.nextElementSibling.textContent));
  const PAPER_WIDTH = 660;
  const config = {
    displaylogo: false,
    modeBarButtonsToRemove: ["zoomIn2d", "zoomOut2d", "autoScale2d", "select2d", "lasso2d", "pan2d"],
    responsive: true,
  };

  function draw(printing) {
    const theme = dark.matches && !printing ? themes.dark : themes.light;
    places.forEach((place, number) => {
      const { data, layout } = figures[number];
      const width = printing ? { width: PAPER_WIDTH, autosize: false } : { autosize: true };
      Plotly.react(place, data, { ...layout, ...width, template: theme }, config);
    });
  }

  dark.addEventListener("change", () => draw(paper.matches));
  paper.addEventListener("change", () => draw(paper.matches));
  addEventListener("beforeprint", () => draw(true));
  addEventListener("afterprint", () => draw(false));
  draw(paper.matches);
})();
