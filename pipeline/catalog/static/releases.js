// The page of a release: the table of its changes with its filters.
"use strict";

(() => {
  const { el, markedWording, pagedRows, rowsOf, spoken } = window.hcpcs;
  const data = window.hcpcs.release;
  const described = (row) => row.short_description ?? "";
  const action = (row) => (row.cms_action_code ? `${row.cms_action_code} (${data.actions[row.cms_action_code] ?? "not in CMS’s list"})` : null);
  const value = (text) => (text === null ? "none" : text.startsWith("[") ? JSON.parse(text).join(", ") || "none" : text);

  const difference = (row) => {
    if (row.withheld) return "withheld";
    if (row.field === "record" || row.change === "claimed_not_seen") return null;
    if (row.change === "text_format_only") return "case, spacing or punctuation";
    if (row.change === "text" && row.old !== null && row.new !== null) return markedWording(row.old, row.new);
    return [el("span", {}, value(row.old)), " → ", el("span", {}, value(row.new))];
  };
  const verdict = (row) => (row.agrees_with_cms === null ? "cannot be compared" : row.agrees_with_cms ? "yes" : `no: ${data.disagreements[row.disagreement]}`);
  const verdictOf = (row) => (row.agrees_with_cms === null ? "unknown" : row.agrees_with_cms ? "yes" : ["no", row.disagreement]);
  const verdictLabel = { yes: "yes", no: "no, for any reason", unknown: "cannot be compared", ...Object.fromEntries(Object.entries(data.disagreements).map(([k, v]) => [k, `no: ${v}`])) };

  pagedRows(document.getElementById("changes"), {
    rows: rowsOf(data.changes),
    noun: ["change", "changes"],
    label: "Changes",
    filters: [
      { name: "change", label: "Change", value: (row) => row.change, labelOf: spoken, order: data.order },
      { name: "agrees", label: "CMS’s action code agrees", value: verdictOf, labelOf: (v) => verdictLabel[v], order: Object.keys(verdictLabel) },
      { name: "action", label: "Action code", value: (row) => row.cms_action_code, labelOf: (v) => `${v} ${data.actions[v] ?? ""}` },
    ],
    text: (row) => [row.code, described(row), spoken(row.field), row.old, row.new].join(" "),
    columns: [
      { label: "Code", value: (row) => row.code, cell: (row) => el("a", { href: `../codes.html#${row.code}` }, el("code", {}, row.code)) },
      { label: "Description, as of the newest release", value: described, cell: (row) => described(row) || (row.withheld ? "withheld" : null) },
      { label: "Change", value: (row) => data.order.indexOf(row.change), cell: (row) => spoken(row.change) + (row.posting ? ` (posting ${row.posting})` : "") },
      { label: "Field", value: (row) => row.field, cell: (row) => (row.field === "record" ? "the whole record" : spoken(row.field)) },
      { label: "Before → after", value: (row) => row.new, cell: difference, wide: true },
      { label: "CMS’s action", value: (row) => row.cms_action_code, cell: action },
      { label: "Action code agrees?", value: verdict, cell: verdict },
    ],
  });
})();
