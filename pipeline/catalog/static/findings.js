// The page of findings: the table with its filters.
"use strict";

(() => {
  const { el, number, pagedRows, rowsOf, spoken } = window.hcpcs;
  const data = window.hcpcs.findings;
  const rank = (row) => data.severities.indexOf(row.severity);
  const SHORT = 120;
  const quoted = (text) => el("q", {}, el("code", {}, text));
  const kinds = { info: "", warning: "withheld", error: "withheld" };

  const place = (row) => {
    const parts = [];
    if (row.code) parts.push(el("a", { href: `codes.html#${row.code}` }, el("code", {}, row.code)));
    if (row.field) parts.push(parts.length ? " " : "", spoken(row.field));
    if (row.member) parts.push(parts.length ? el("br") : "", el("span", { class: "note file" }, row.member, row.line ? `, line ${number(row.line)}` : ""));
    return parts.length ? parts : "the release";
  };
  const said = (row) => {
    const parts = [row.message];
    if (row.raw_value !== null && row.raw_value.length <= SHORT) parts.push(": ", quoted(row.raw_value));
    else if (row.raw_value !== null) parts.push(el("details", {}, el("summary", {}, "What CMS wrote"), quoted(row.raw_value)));
    if (row.withheld_fields.length) parts.push(" ", el("span", { class: "badge withheld" }, "partly withheld"));
    if (row.examples.length) {
      parts.push(el("details", {}, el("summary", {}, `${number(row.occurrences)} ${row.occurrences === 1 ? "place" : "places, for example"}`), row.examples.join(", ")));
    }
    return parts;
  };

  pagedRows(document.getElementById("findings"), {
    rows: rowsOf(data.findings),
    noun: ["finding", "findings"],
    label: "Findings",
    filters: [
      { name: "severity", label: "Severity", value: (row) => row.severity, order: data.severities },
      { name: "kind", label: "Kind", value: (row) => row.finding, labelOf: spoken },
      { name: "release", label: "Release", value: (row) => row.release_id },
    ],
    text: (row) => [row.code, row.member, spoken(row.finding), row.field && spoken(row.field), row.raw_value, row.message, row.action, ...row.examples].join(" "),
    columns: [
      { label: "Release", value: (row) => row.release_id, cell: (row) => el("a", { href: `releases/${row.release_id}.html`, class: "nowrap" }, row.release_id) },
      { label: "Severity", value: rank, cell: (row) => el("span", { class: `badge ${kinds[row.severity]}` }, row.severity) },
      { label: "Kind", value: (row) => row.finding, cell: (row) => spoken(row.finding) },
      { label: "Where", value: (row) => row.code ?? row.member, cell: place },
      { label: "What is odd", value: (row) => row.message, cell: said, wide: true },
      { label: "What was done", value: (row) => row.action, cell: (row) => row.action },
      { label: "Places", value: (row) => row.occurrences, cell: (row) => number(row.occurrences), number: true },
    ],
  });
})();
