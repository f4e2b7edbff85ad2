// A table's page: its rows, loaded when they are asked for, with filters, sorting and CSV.
"use strict";

(() => {
  const { el, pagedRows, rowsOf } = window.hcpcs;
  const box = document.getElementById("table-rows");
  const { table, count } = box.dataset;
  const bytes = Number(box.dataset.bytes.replaceAll(",", ""));
  const FEW = 40;
  const MOST_FILTERS = 5;
  // Files up to this are loaded with the page.
  const SMALL = 300_000;

  const folder = new URL("../data/rows/", document.currentScript.src);
  const text = (value) => (value == null ? null : Array.isArray(value) ? value.join("; ") : String(value));

  const draw = (data) => {
    const rows = rowsOf(data);
    const filters = data.columns.flatMap(({ name, values }) => {
      const different = new Set(values.map(text));
      return different.size > 1 && different.size <= FEW ? [{ name: `column-${name}`, label: name, value: (row) => text(row[name]) ?? "(null)", labelOf: (v) => (v === "" ? "(empty)" : v) }] : [];
    });
    pagedRows(box, {
      rows,
      noun: ["row", "rows"],
      label: table,
      filters: filters.slice(0, MOST_FILTERS),
      text: (row) => Object.values(row).map((value) => text(value) ?? "").join(" "),
      columns: data.columns.map(({ name, values }) => ({
        label: name,
        name,
        number: values.some((value) => typeof value === "number"),
        wide: values.slice(0, 200).some((value) => (text(value) ?? "").length > 60),
        value: (row) => (typeof row[name] === "number" ? row[name] : text(row[name])),
        cell: (row) => text(row[name]),
      })),
    });
  };

  const load = () => {
    const script = el("script", { src: new URL(`${table}.js`, folder) });
    script.onload = () => draw(window.hcpcs[`rows/${table}`]);
    script.onerror = () => box.replaceChildren(el("p", {}, `data/rows/${table}.js is missing. Run hcpcs catalog again.`));
    document.head.append(script);
  };

  const button = el("button", { type: "button", class: "plain" }, `Load ${count} rows (${(bytes / 1e6).toFixed(1)} MB)`);
  button.addEventListener("click", () => { button.disabled = true; load(); });
  box.replaceChildren(button);
  if (bytes <= SMALL || location.hash.includes("=")) load();
})();
