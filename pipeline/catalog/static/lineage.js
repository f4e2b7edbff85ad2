// The page Lineage: a chosen column's way back, drawn and in words; tables of the way lit up in the graph.
"use strict";

(() => {
  const { el, say, lineage } = window.hcpcs;
  const SVG = "http://www.w3.org/2000/svg";
  const tables = new Map(lineage.tables.map((table) => [table.name, table]));
  const tableOf = (ref) => ref.slice(0, ref.indexOf("."));
  const columnOf = (ref) => ref.slice(ref.indexOf(".") + 1);

  const inputs = new Map();
  for (const [from, to] of lineage.edges) {
    if (!inputs.has(to)) inputs.set(to, []);
    inputs.get(to).push(from);
  }

  // Every step behind a column: [from, to], the nearest first.
  const wayBack = (ref) => {
    const edges = [];
    const seen = new Set([ref]);
    for (const at of seen) {
      for (const from of inputs.get(at) ?? []) {
        edges.push([from, at]);
        seen.add(from);
      }
    }
    return { columns: [...seen], edges };
  };

  const inWords = (ref) => {
    const table = tables.get(tableOf(ref));
    if (table.kind !== "cms" && table.kind !== "curated") return ref;
    return columnOf(ref) ? `${table.label}, ${columnOf(ref)}` : table.label;
  };

  const svg = (name, attributes, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // Boxes of tables in layers, a row for each of their columns on the way, lines from row to row.
  const draw = (chosen, way) => {
    const rows = new Map();
    for (const ref of way.columns) {
      const name = tableOf(ref);
      if (!rows.has(name)) rows.set(name, []);
      rows.get(name).push(ref);
    }
    for (const [name, refs] of rows) {
      const order = tables.get(name).columns;
      const number = (ref) => parseInt(columnOf(ref).match(/^positions? (\d+)/)?.[1] ?? order.indexOf(columnOf(ref)), 10);
      refs.sort((a, b) => number(a) - number(b));
    }
    const layers = new Map();
    for (const name of rows.keys()) {
      const { layer } = tables.get(name);
      if (!layers.has(layer)) layers.set(layer, []);
      layers.get(layer).push(name);
    }
    const LINE = 20, HEAD = 24, GAP = 16, BETWEEN = 52, CHARACTER = 7;
    const heightOf = (name) => HEAD + rows.get(name).length * LINE + 6;
    const stacks = [...layers.entries()].sort(([a], [b]) => a - b).map(([, names]) => names);
    const heights = stacks.map((names) => names.reduce((sum, name) => sum + heightOf(name) + GAP, -GAP));
    const height = Math.max(...heights);
    const place = new Map();
    const root = svg("svg", { class: "graph way", "aria-hidden": "true" });
    const lines = root.appendChild(svg("g", { class: "lines" }));
    let x = 1;
    stacks.forEach((names, number) => {
      const texts = names.flatMap((name) => [tables.get(name).label, ...rows.get(name).map(columnOf)]);
      const width = Math.max(...texts.map((text) => text.length)) * CHARACTER + 22;
      let y = 1 + (height - heights[number]) / 2;
      for (const name of names) {
        const table = tables.get(name);
        const box = root.appendChild(svg("g", { class: `box ${table.kind}` }));
        box.append(svg("rect", { x, y, width, height: heightOf(name), rx: 4 }));
        box.append(svg("text", { x: x + 10, y: y + 17, class: "name" }, table.label));
        rows.get(name).forEach((ref, row) => {
          const middle = y + HEAD + row * LINE + LINE / 2;
          place.set(ref, { left: x, right: x + width, middle });
          box.append(svg("text", { x: x + 10, y: middle + 4, class: ref === chosen ? "chosen" : "" }, columnOf(ref)));
        });
        y += heightOf(name) + GAP;
      }
      x += width + BETWEEN;
    });
    for (const [from, to] of way.edges) {
      const a = place.get(from), b = place.get(to);
      const bend = Math.max(BETWEEN * 0.6, (b.left - a.right) * 0.4);
      lines.append(svg("path", {
        d: `M${a.right} ${a.middle}C${a.right + bend} ${a.middle} ${b.left - bend} ${b.middle} ${b.left} ${b.middle}`,
      }));
    }
    const width = x - BETWEEN + 1;
    root.setAttribute("viewBox", `0 0 ${width} ${height + 2}`);
    root.style.setProperty("--natural", `${width}px`);
    return root;
  };

  const graph = document.querySelector("svg.graph");
  const light = (names) => {
    graph.classList.toggle("lit", names !== null);
    for (const part of graph.querySelectorAll("[data-table]")) {
      part.classList.toggle("on", names !== null && names.has(part.dataset.table));
    }
    for (const line of graph.querySelectorAll("[data-from]")) {
      line.classList.toggle("on", names !== null && names.has(line.dataset.from) && names.has(line.dataset.to));
    }
  };

  // A table with all that it is made from and all that is made from it.
  const related = (name) => {
    const found = new Set([name]);
    const follow = (key, other) => {
      const at = new Set([name]);
      for (const one of at) {
        for (const line of graph.querySelectorAll(`[data-${key}="${one}"]`)) {
          at.add(line.dataset[other]);
          found.add(line.dataset[other]);
        }
      }
    };
    follow("to", "from");
    follow("from", "to");
    return found;
  };

  const chooseTable = document.getElementById("choose-table");
  const chooseColumn = document.getElementById("choose-column");
  const chips = document.getElementById("columns");
  const shown = document.getElementById("way");
  let pinned = null;

  const show = (ref) => {
    const way = wayBack(ref);
    const table = tables.get(tableOf(ref));
    const begins = way.columns.filter((one) => one !== ref && !inputs.has(one)).map(inWords).sort();
    const isOurs = table.ours.includes(columnOf(ref));
    const lead = el("p", {});
    lead.append(el("code", {}, ref));
    if (isOurs) lead.append(begins.length ? " is decided by this project, from " : " is written by this project.");
    else lead.append(begins.length ? " comes from " : " begins here.");
    if (begins.length) lead.append(begins.length > 4 ? `${begins.length} places:` : `${begins.join("; ")}.`);
    shown.replaceChildren(lead);
    if (begins.length > 4) shown.append(el("p", { class: "note" }, `${begins.join("; ")}.`));
    if (way.edges.length) {
      const box = el("div", { class: "scroll bleed", role: "region", tabindex: "0", "aria-label": `Way back of ${ref}` });
      box.append(draw(ref, way));
      const words = el("details", {}, el("summary", {}, `The ${way.edges.length} steps in words`));
      const list = el("ul", {});
      for (const to of way.columns.filter((one) => inputs.has(one))) {
        list.append(el("li", {}, el("code", {}, to), ` from ${inputs.get(to).map(inWords).join("; ")}`));
      }
      words.append(list);
      shown.append(box, words);
    }
    light(new Set(way.columns.map(tableOf)));
    for (const chip of chips.children) chip.setAttribute("aria-pressed", String(chip.dataset.ref === ref));
  };

  const pin = (ref) => {
    pinned = ref;
    chooseColumn.value = columnOf(ref);
    history.replaceState(null, "", `#${ref}`);
    show(ref);
  };

  const listColumns = (name) => {
    const table = tables.get(name);
    chooseTable.value = name;
    chooseColumn.replaceChildren(...table.columns.map((column) => el("option", { value: column }, column)));
    chips.replaceChildren(...table.columns.map((column) => {
      const ref = `${name}.${column}`;
      const chip = el("button", { type: "button", class: "chip", "aria-pressed": "false" }, column);
      chip.dataset.ref = ref;
      chip.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") show(ref); });
      chip.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse" && pinned) show(pinned); });
      chip.addEventListener("focus", () => show(ref));
      chip.addEventListener("click", () => { pin(ref); say(`${ref}: its way back is shown`); });
      return chip;
    }));
  };

  const choose = (ref) => {
    if (!tables.get(tableOf(ref))?.columns.includes(columnOf(ref))) return false;
    listColumns(tableOf(ref));
    pin(ref);
    return true;
  };

  chooseTable.addEventListener("change", () => choose(`${chooseTable.value}.${tables.get(chooseTable.value).columns[0]}`));
  chooseColumn.addEventListener("change", () => pin(`${chooseTable.value}.${chooseColumn.value}`));
  chips.addEventListener("focusout", (event) => { if (pinned && !chips.contains(event.relatedTarget)) show(pinned); });
  for (const part of graph.querySelectorAll("[data-table]")) {
    const on = () => light(related(part.dataset.table));
    const off = () => light(pinned ? new Set(wayBack(pinned).columns.map(tableOf)) : null);
    part.addEventListener("pointerenter", on);
    part.addEventListener("pointerleave", off);
    part.addEventListener("focus", on);
    part.addEventListener("blur", off);
  }

  document.getElementById("chooser").hidden = false;
  const asked = () => choose(decodeURIComponent(location.hash.slice(1)));
  if (asked()) document.getElementById("path").scrollIntoView();
  else {
    // Nothing chosen yet: the columns of the table that people ask for first, none of them lit.
    const first = tables.has("hcpcs_codes") ? "hcpcs_codes" : lineage.tables.find((table) => table.page).name;
    listColumns(first);
    show(`${first}.${tables.get(first).columns[0]}`);
    light(null);
  }
  window.addEventListener("hashchange", asked);
})();
