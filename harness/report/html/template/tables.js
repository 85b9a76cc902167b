// The sortable and filterable tables. A cell is a text, or a number to sort by with the text to show.
const asText = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

function shown(value, type) {
  if (typeof value === "string") return type === "display" ? asText(value) : value;
  if (type === "display") return asText(value[1]);
  return type === "filter" ? value[1] : value[0] ?? -Infinity;
}

function fillGrid(place) {
  const { columns, rows } = page.grids[place.dataset.grid];
  const fixed = ["scenario", "backend"].filter((name) => place.dataset[name] !== undefined);
  const at = (name) => columns.findIndex(({ title }) => title === name);
  const chosen = rows.filter((row) => fixed.every((name) => row[at(name)] === place.dataset[name]));
  const alike = (index) => chosen.every((row) => row[index] === chosen[0][index]);
  if (!chosen.length) {
    place.append(element("p", { className: "muted", textContent: "Nothing to show." }));
    return;
  }
  const table = element("table");
  const filters = element("div", { className: "filters" });
  place.append(filters, table);
  const grid = new DataTable(table, {
    data: chosen,
    columns: columns.map(({ title, kind }, index) => ({
      title: asText(title), data: index, render: shown, type: kind === "number" ? "num" : "string",
      className: kind, visible: !(title === "scenario" ? alike(index) : fixed.includes(title)),
    })),
    order: [], pageLength: 25, autoWidth: false, caption: "",
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null, bottom: { rowClass: "foot", features: chosen.length > 25 ? ["info", "paging"] : [] } },
    language: { info: "_START_ to _END_ of _TOTAL_", infoFiltered: "(of _MAX_)", infoEmpty: "none", zeroRecords: "None." },
  });
  columns.forEach(({ title, filtered }, index) => {
    const values = filtered ? [...new Set(chosen.map((row) => row[index]))] : [];
    if (values.length < 2) return;
    const select = element("select", {}, new Option("all", ""), ...values.map((text, number) => new Option(text, number)));
    select.onchange = () => {
      const wanted = values[select.value];
      grid.column(index).search(select.value === "" ? "" : (text) => text === wanted).draw();
    };
    filters.append(element("label", { textContent: title }, select));
  });
  const search = element("input", { type: "search" });
  search.oninput = () => grid.search(search.value).draw();
  filters.append(element("label", { textContent: "search" }, search));
}
