// A table of many rows out of data: filters, free text, sorting, pages and CSV; what is chosen is part of the page's URL.
"use strict";

(() => {
  const { el, number, say } = window.hcpcs;
  const PAGE = 50;

  const compare = (a, b) => {
    if (a === b) return 0;
    if (a == null || b == null) return a == null ? 1 : -1; // what is missing goes last
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  const csvCell = (value) => {
    const text = value == null ? "" : Array.isArray(value) ? value.join("; ") : String(value);
    // A spreadsheet would run what begins like a formula.
    const safe = /^[=+@\t\r]|^-(?![\d.]+$)/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const downloadCsv = (name, headings, rows) => {
    const lines = [headings, ...rows].map((row) => `${row.map(csvCell).join(",")}\r\n`);
    const url = URL.createObjectURL(new Blob(lines, { type: "text/csv;charset=utf-8" }));
    el("a", { href: url, download: `${name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };

  // columns: { label, cell(row) -> node or text, value(row) to sort by, csv(row) if not the value, number } ; filters:
  // { name, label, value(row), labelOf(value), order } ; text(row) is what free text looks at; noun: [one, several];
  // remembers: whether the page's URL follows the choice.
  const pagedRows = (root, { rows, columns, filters = [], text, noun, label, remembers = true }) => {
    const texts = rows.map((row) => text(row).toLowerCase());
    const state = { page: 1, sort: null, up: true };

    const form = el("form", { class: "filters", role: "search", "aria-label": `Filter ${noun[1]}` });
    const selects = filters.map((filter) => {
      const counts = new Map();
      for (const row of rows) {
        for (const value of [filter.value(row)].flat()) {
          if (value != null) counts.set(value, (counts.get(value) ?? 0) + 1);
        }
      }
      const values = [...counts.keys()];
      values.sort((a, b) => (filter.order ? filter.order.indexOf(a) - filter.order.indexOf(b) : compare(a, b)) * (filter.descending ? -1 : 1));
      const select = el("select", { name: filter.name }, el("option", { value: "" }, "all"));
      for (const value of values) {
        const shown = filter.labelOf ? filter.labelOf(value) : value;
        select.append(el("option", { value }, `${shown} (${number(counts.get(value))})`));
      }
      form.append(el("label", {}, el("span", {}, filter.label), select));
      return select;
    });
    const words = el("input", { type: "search", name: "q", autocomplete: "off", spellcheck: "false" });
    form.append(el("label", {}, el("span", {}, "Words or code"), words));
    const reset = el("button", { type: "reset", class: "plain" }, "Show all");
    form.append(reset);
    const download = el("button", { type: "button", class: "plain" }, "Download CSV");
    download.addEventListener("click", () => {
      const found = matching();
      const name = label.toLowerCase().replace(/[^a-z0-9_]+/g, "-");
      downloadCsv(name, columns.map((c) => c.name ?? c.label), found.map((row) => columns.map((c) => (c.csv ?? c.value)(row))));
      say(`downloaded ${number(found.length)} ${noun[1]}`);
    });
    form.append(download);

    const shown = el("p", { class: "shown", tabindex: "-1" });
    const headings = columns.map((column, index) => {
      const button = el("button", { type: "button", class: "sort" }, column.label);
      button.addEventListener("click", () => {
        state.up = state.sort === index ? !state.up : true;
        state.sort = index;
        state.page = 1;
        draw();
        say(`sorted by ${column.label}, ${state.up ? "ascending" : "descending"}`);
      });
      return el("th", { scope: "col", ...(column.number ? { class: "number" } : {}) }, button);
    });
    const body = el("tbody");
    const table = el("table", { class: "rows" }, el("thead", {}, el("tr", {}, ...headings)), body);
    const box = el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, table);
    const turn = (by, name) => {
      const button = el("button", { type: "button", class: "plain" }, name);
      button.addEventListener("click", () => {
        state.page += by;
        draw();
        form.scrollIntoView({ block: "nearest" });
      });
      return button;
    };
    const [back, on] = [turn(-1, "Previous"), turn(1, "Next")];
    const place = el("span");
    const pager = el("nav", { class: "pager", "aria-label": `Pages of ${noun[1]}` }, back, place, on);

    const matching = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = rows.filter((row, n) =>
        filters.every((filter, k) => !selects[k].value || [filter.value(row)].flat().some((v) => String(v) === selects[k].value)) &&
        wanted.every((word) => texts[n].includes(word)));
      if (state.sort === null) return found;
      const { value } = columns[state.sort];
      const direction = state.up ? 1 : -1;
      return found
        .map((row) => [value(row), row])
        .sort(([a], [b]) => compare(a, b) * (a == null || b == null ? 1 : direction))
        .map(([, row]) => row);
    };

    const draw = () => {
      const found = matching();
      const pages = Math.max(1, Math.ceil(found.length / PAGE));
      state.page = Math.min(Math.max(1, state.page), pages);
      const first = (state.page - 1) * PAGE;
      const part = found.slice(first, first + PAGE);
      body.replaceChildren(...part.map((row) =>
        el("tr", {}, ...columns.map((column) => {
          const content = column.cell(row);
          const cell = el("td", column.number ? { class: "number" } : column.wide ? { class: "meaning" } : {});
          cell.append(...(content == null ? ["–"] : [content].flat()));
          return cell;
        }))));
      headings.forEach((heading, index) => {
        if (state.sort === index) heading.setAttribute("aria-sort", state.up ? "ascending" : "descending");
        else heading.removeAttribute("aria-sort");
      });
      const all = rows.length === 1 ? noun[0] : noun[1];
      shown.textContent = found.length === 0
        ? `None of the ${number(rows.length)} ${all} matches. Remove a filter, or show all.`
        : found.length === rows.length ? `${number(rows.length)} ${all}` : `${number(found.length)} of ${number(rows.length)} ${all}`;
      box.hidden = found.length === 0;
      pager.hidden = pages === 1;
      back.disabled = state.page === 1;
      on.disabled = state.page === pages;
      place.textContent = `Page ${number(state.page)} of ${number(pages)}`;
      reset.hidden = !words.value && selects.every((select) => !select.value);
      remember();
    };

    const remember = () => {
      if (!remembers) return;
      const chosen = new URLSearchParams();
      selects.forEach((select) => { if (select.value) chosen.set(select.name, select.value); });
      if (words.value) chosen.set("q", words.value);
      if (state.page > 1) chosen.set("page", state.page);
      const hash = `#${chosen}`;
      if (hash !== (location.hash || "#")) history.replaceState(null, "", hash);
    };
    const recall = () => {
      const chosen = new URLSearchParams(remembers ? location.hash.slice(1) : "");
      selects.forEach((select) => { select.value = chosen.get(select.name) ?? ""; });
      words.value = chosen.get("q") ?? "";
      state.page = Number(chosen.get("page")) || 1;
      draw();
    };

    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => { state.page = 1; draw(); say(shown.textContent); });
    form.addEventListener("reset", () => setTimeout(() => { state.page = 1; draw(); words.focus(); }));
    if (remembers) addEventListener("hashchange", () => {
      // An address of a part of the page is no choice of rows.
      if (!location.hash.includes("=") && location.hash !== "") return;
      recall();
      root.parentElement.scrollIntoView();
      shown.focus({ preventScroll: true });
    });
    root.replaceChildren(form, shown, box, pager);
    recall();
    if (remembers && location.hash.includes("=")) root.parentElement.scrollIntoView();
  };

  Object.assign(window.hcpcs, { pagedRows });
})();
