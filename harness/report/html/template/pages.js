// One page at a time, chosen by the part of the address behind #; charts and tables are made when their page is opened.
const filled = new Set();

function open(id) {
  const chosen = document.getElementById(id)?.closest(".page") ?? document.getElementById("summary");
  for (const section of document.querySelectorAll(".page")) section.classList.toggle("shown", section === chosen);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#${chosen.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!filled.has(chosen)) {
    filled.add(chosen);
    chosen.querySelectorAll(".charts").forEach(fillCharts);
    chosen.querySelectorAll(".grid").forEach(fillGrid);
  }
  scrollTo(0, 0);
}

document.documentElement.classList.add("js");
addEventListener("hashchange", () => open(location.hash.slice(1)));
open(location.hash.slice(1));
document.documentElement.dataset.ready = "";
