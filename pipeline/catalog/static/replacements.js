// The page of replacements: ended codes with what replaced them.
"use strict";

(() => {
  const { el, pagedRows, rowsOf, spoken } = window.hcpcs;
  const codeLink = (code) => el("a", { href: `codes.html#${code}` }, el("code", {}, code));
  const named = (row) => (row.target ?? (row.target_system ? `a ${row.target_system} code, withheld` : null));
  const kindOf = (row) => (row.target_system === null ? "none" : row.target === null ? "withheld" : row.target_status === "active" ? "active" : "ended too");
  const onward = (row) => (row.chain_ends ?? []).filter((end) => end !== row.target);

  pagedRows(document.getElementById("replacements"), {
    rows: rowsOf(window.hcpcs.replacements),
    noun: ["row", "rows"],
    label: "Ended codes and replacements",
    filters: [
      { name: "replacement", label: "Replacement", value: kindOf, order: ["active", "ended too", "withheld", "none"], labelOf: (v) => ({ active: "named, active", "ended too": "named, ended too", withheld: "named, withheld", none: "none named" })[v] },
      { name: "ended", label: "Ended in", value: (row) => row.ended.slice(0, 4), descending: true },
      { name: "in", label: "Begins with", value: (row) => (row.kind === "modifier" ? "modifiers" : row.code[0]) },
    ],
    text: (row) => [row.code, row.short_description, row.target, ...(row.chain_ends ?? [])].join(" "),
    columns: [
      { label: "Ended code", name: "code", value: (row) => row.code, cell: (row) => codeLink(row.code) },
      { label: "Description", name: "description", value: (row) => row.short_description, cell: (row) => row.short_description, wide: true },
      { label: "Last day", name: "last_day", value: (row) => row.ended, cell: (row) => el("span", { class: "nowrap" }, row.ended) },
      { label: "Replaced by", name: "replaced_by", value: named, cell: (row) => (row.target ? [codeLink(row.target), row.is_withdrawn ? " (withdrawn by CMS)" : ""] : named(row)) },
      { label: "Which is", name: "replacement_status", value: (row) => row.target_status, cell: (row) => (row.target ? spoken(row.target_status) : null) },
      { label: "End of the chain", name: "chain_ends", value: (row) => onward(row).join(" "), cell: (row) => (onward(row).length ? onward(row).flatMap((c, n) => [n ? ", " : "", codeLink(c)]) : null) },
      { label: "First named in", name: "named_in_release", value: (row) => (row.target_system ? row.first_release : null), cell: (row) => (row.target_system ? el("a", { href: `releases/${row.first_release}.html`, class: "nowrap" }, row.first_release) : null) },
    ],
  });
})();
