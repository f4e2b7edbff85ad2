// What the pages do beyond standing there. Each of them can be read without it.
"use strict";

(() => {
  const el = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  const number = (n) => n.toLocaleString("en-US");
  const several = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
  const spoken = (name) => name.replaceAll("_", " ");

  // What a cell sorts by: data-value where it has one, a number where it reads as one, else its text.
  const valueOf = (cell) => {
    const text = (cell?.dataset.value ?? cell?.textContent ?? "").trim();
    const value = Number(text.replace(/,/g, "").replace(/%$/, ""));
    if (text === "" || text === "–") return null;
    return Number.isNaN(value) ? text : value;
  };

  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null); // what is missing goes last
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  const say = (() => {
    const live = el("p", { class: "hidden", role: "status" });
    document.body.append(live);
    return (text) => { live.textContent = text; };
  })();

  const makeSortable = (table) => {
    const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    headings.forEach((heading, index) => {
      if (heading.hasAttribute("data-unsortable") || !heading.textContent.trim()) return;
      const button = el("button", { type: "button", class: "sort" });
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        for (const body of table.tBodies) {
          const rows = [...body.rows].map((row) => [valueOf(row.cells[index]), row]);
          rows.sort(([a], [b]) => (a === null || b === null || up ? compare(a, b) : compare(b, a)));
          body.append(...rows.map(([, row]) => row));
        }
        say(`sorted by ${button.textContent.trim()}, ${up ? "ascending" : "descending"}`);
      });
    });
  };

  const makeFilterable = (table) => {
    const box = table.closest(".scroll") ?? table;
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const input = el("input", { type: "search", autocomplete: "off", spellcheck: "false" });
    const shown = el("output", { class: "shown" });
    const label = el("label", { class: "filter" }, "Filter ", input, " ", shown);
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      rows.forEach((row, n) => {
        row.hidden = !words.every((word) => texts[n].includes(word));
        count += !row.hidden;
      });
      shown.textContent = words.length ? `${number(count)} of ${number(rows.length)}` : "";
    };
    input.addEventListener("input", apply);
    box.before(label);
    if (input.value) apply();
  };

  const makeCopyable = (snippet) => {
    const button = el("button", { type: "button", class: "copy" }, "Copy");
    const pre = snippet.querySelector("pre");
    button.setAttribute("aria-label", `Copy ${pre.getAttribute("aria-label") ?? "this"}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(pre.textContent);
        button.textContent = "Copied";
        say("copied");
      } catch {
        // A page from disk may not be let at the clipboard: select it, so that one key copies it.
        const range = document.createRange();
        range.selectNodeContents(pre);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        button.textContent = "Selected";
        say("selected; copy it with your keyboard");
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    snippet.append(button);
  };

  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll("table.filterable").forEach(makeFilterable);
  document.querySelectorAll(".snippet").forEach(makeCopyable);

  // The rows of a table of data. A column is a list of its values; or of those that differ, and of the place of each
  // row's or run's.
  const cellsOf = ({ values, at, runs }) => {
    if (!at) return values;
    return runs ? at.flatMap((place, n) => Array(runs[n]).fill(values[place])) : at.map((place) => values[place]);
  };
  const rowsOf = ({ rows, columns }) => {
    const cells = columns.map((column) => [column.name, cellsOf(column)]);
    return Array.from({ length: rows }, (_, n) => Object.fromEntries(cells.map(([name, all]) => [name, all[n]])));
  };

  // For the scripts of single pages.
  window.hcpcs = Object.assign(window.hcpcs ?? {}, { el, number, rowsOf, say, several, spoken });
})();
