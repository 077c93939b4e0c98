"use strict";

const night = matchMedia("(prefers-color-scheme: dark)");

// Figures are written down in the colours of the day; at night each is exchanged for its counterpart.
function draw() {
  const dark = JSON.parse(document.getElementById("dark").textContent);
  const exchanged = (key, value) => (night.matches && dark[value]) || value;
  for (const place of document.querySelectorAll(".figure")) {
    const figure = JSON.parse(document.getElementById(`${place.id}-data`).textContent, exchanged);
    Plotly.react(place, figure.data, figure.layout, { responsive: true, displayModeBar: false });
  }
}

function copy(button) {
  const text = document.getElementById(button.dataset.copies);
  const told = (word) => {
    button.textContent = word;
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  const selected = () => {
    getSelection().selectAllChildren(text);
    told(document.execCommand("copy") ? "Copied" : "Press Ctrl-C");
  };
  if (!navigator.clipboard) { selected(); return; }
  navigator.clipboard.writeText(text.textContent).then(() => told("Copied"), selected);
}

draw();
night.addEventListener("change", draw);
for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", () => copy(button));
}
