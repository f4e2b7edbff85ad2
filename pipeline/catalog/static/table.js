// A table's page: its rows, loaded when they are asked for, with filters, sorting and CSV.
"use strict";

(() => {
  const { el, pagedRows } = window.hcpcs;
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
    // A column is a list of its values, or of places in a list of those that differ; no place is the first.
    const columns = data.columns.map(({ name, values, at }) => ({ name, of: at ? (n) => values[at[n] ?? 0] : (n) => values[n] }));
    const rows = Array.from({ length: data.rows }, (_, n) => n);
    const numbers = new Set(data.numbers);
    const filters = columns.flatMap(({ name, of }) => {
      const different = new Set();
      for (const n of rows) {
        different.add(text(of(n)));
        if (different.size > FEW) return [];
      }
      return different.size > 1 ? [{ name: `column-${name}`, label: name, value: (n) => (of(n) === null ? "(null)" : text(of(n))), labelOf: (v) => (v === "" ? "(empty)" : v) }] : [];
    });
    pagedRows(box, {
      rows,
      noun: ["row", "rows"],
      label: table,
      filters: filters.slice(0, MOST_FILTERS),
      text: (n) => columns.map(({ of }) => text(of(n)) ?? "").join(" "),
      columns: columns.map(({ name, of }) => ({
        label: name,
        name,
        number: numbers.has(name),
        wide: rows.slice(0, 200).some((n) => (text(of(n)) ?? "").length > 60),
        value: (n) => (typeof of(n) === "number" ? of(n) : text(of(n))),
        cell: (n) => text(of(n)),
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
