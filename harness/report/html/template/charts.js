// Draws the charts when they come into view. Values and texts come ready from the page's data.
const dark = matchMedia("(prefers-color-scheme: dark)");
const hidden = new Set();
const drawn = new Map();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function axis(own) {
  return {
    gridcolor: colour("--line"), linecolor: colour("--muted"), zeroline: false, automargin: true, ...own,
    title: { ...own.title, standoff: 10, font: { size: 12, color: colour("--muted") } },
  };
}

function layoutOf(figure) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--ink") },
    margin: { l: 56, r: 8, t: 30, b: 44 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--muted"), activecolor: colour("--link") },
    hovermode: "closest",
    hoverlabel: { align: "left", bgcolor: colour("--paper"), bordercolor: colour("--muted"), font: { color: colour("--ink") } },
    showlegend: true,
    legend: { itemwidth: 34, font: { size: 12 }, tracegroupgap: 0 },
    xaxis: axis(figure.layout.xaxis), yaxis: axis(figure.layout.yaxis),
  };
}

function traceOf(trace, column, highlighted) {
  const look = page.looks[trace.name];
  const color = dark.matches ? look.dark : look.colour;
  const bounded = trace.customdata.map((cell) => page.bounded[cell]);
  return {
    ...trace,
    type: "scatter",
    line: { color, width: 2, dash: look.dash },
    marker: {
      color, size: 8, symbol: bounded.map((bound) => (bound ? `${look.symbol}-open` : look.symbol)),
      line: { color, width: bounded.map((bound) => (bound ? 2 : 0)) },
    },
    opacity: highlighted && !highlighted.has(trace.name) ? 0.22 : 1,
    visible: hidden.has(trace.name) ? "legendonly" : true,
    hoverinfo: "text",
    hovertext: trace.customdata.map(
      (cell) => `<b>${trace.name}</b><br>${page.hover.values[column][cell]}<br>${page.hover.cells[cell]}`,
    ),
  };
}

function draw(plot, chart, choice) {
  const views = chart.figures[choice.measure];
  const figure = views[choice.view][Math.min(choice.panel, views[choice.view].length - 1)];
  const column = chart.columns[choice.measure];
  const rows = figure.layout.yaxis.type === "category";
  plot.style.height = rows ? `${130 + 26 * figure.data.length}px` : "";
  const traces = figure.data.map((trace) => traceOf(trace, column, choice.highlighted));
  Plotly.react(plot, traces, layoutOf(figure), {
    responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  });
}

function redrawAll() {
  for (const redraw of drawn.values()) redraw();
}

// A legend is about backends, and so hides one in all charts.
function onLegend(plot) {
  plot.on("plotly_legendclick", ({ curveNumber }) => {
    const { name } = plot.data[curveNumber];
    if (!hidden.delete(name)) hidden.add(name);
    redrawAll();
    return false;
  });
  plot.on("plotly_legenddoubleclick", ({ curveNumber }) => {
    const others = plot.data.map((trace) => trace.name).filter((_, number) => number !== curveNumber);
    const alone = others.every((name) => hidden.has(name));
    hidden.clear();
    if (!alone) others.forEach((name) => hidden.add(name));
    redrawAll();
    return false;
  });
}

const inView = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (isIntersecting && !drawn.has(target)) {
      drawn.set(target, target.draw);
      target.draw();
      onLegend(target);
    }
  }
}, { rootMargin: "300px" });

function chartElement(chart, heading, choice) {
  const own = { measure: chart.first };
  const plot = element("div", { className: "plot" });
  plot.draw = () => draw(plot, chart, { ...choice, ...own });
  const caption = element("figcaption", {}, element("h3", { textContent: heading ? `${heading}: ${chart.title}` : chart.title }));
  if (chart.measures.length > 1) {
    const buttons = chart.measures.map((label, measure) => {
      const button = element("button", { type: "button", textContent: label });
      button.setAttribute("aria-pressed", measure === own.measure);
      button.onclick = () => {
        own.measure = measure;
        buttons.forEach((other, number) => other.setAttribute("aria-pressed", number === measure));
        plot.draw();
      };
      return button;
    });
    caption.append(element("div", { className: "segments" }, ...buttons));
  }
  inView.observe(plot);
  return element("figure", {}, caption, plot, element("p", { className: "note", textContent: chart.note }));
}

function choose(label, options, onChange) {
  const select = element("select", {}, ...options.map((text, value) => new Option(text, value)));
  select.onchange = () => onChange(Number(select.value));
  return element("label", { textContent: label }, select);
}

function fillCharts(place) {
  const { views, charts } = page.charts[Number(place.dataset.scenario)];
  if (!charts.length) return;
  const only = place.dataset.only === undefined ? null : Math.min(Number(place.dataset.only), charts.length - 1);
  const choice = { view: 0, panel: 0 };
  if (place.dataset.highlight !== undefined) {
    choice.highlighted = new Set(page.series[place.dataset.highlight]);
  }
  const figures = (only === null ? charts : [charts[only]]).map((chart) => chartElement(chart, place.dataset.heading, choice));
  const redraw = () => figures.forEach((figure) => {
    const plot = figure.querySelector(".plot");
    if (drawn.has(plot)) plot.draw();
  });
  const choices = element("div", { className: "choices" });
  const offer = () => {
    choices.replaceChildren();
    if (views.length > 1) {
      const axes = choose("against", views.map((view) => view.axis), (view) => {
        choice.view = view;
        choice.panel = 0;
        offer();
        redraw();
      });
      axes.firstElementChild.value = choice.view;
      choices.append(axes);
    }
    const { panels } = views[choice.view];
    if (panels.length > 1) {
      choices.append(choose("at", panels, (panel) => {
        choice.panel = panel;
        redraw();
      }));
    }
    choices.hidden = !choices.childElementCount;
  };
  offer();
  place.classList.toggle("single", only !== null);
  place.append(choices, ...figures);
}

dark.addEventListener("change", redrawAll);
