// A pasted list of codes: for each what it is on a day, its text then, what replaced it, and what changed since a release.
"use strict";

(() => {
  const { el, pagedRows, spoken } = window.hcpcs;
  const labels = window.hcpcs["codes/labels"];
  const { ambulanceOf, historyOf, identityOf } = window.hcpcs.codeSearch;
  const { codeLink, cautionOn, daysOf, daysRowOn, spanOn, statusOnDay, textOf } = window.hcpcs.codeLife;
  const QUIET = new Set(["text_format_only", "action_date", "claimed_not_seen"]);

  const ownerText = ({ name, steward, license, section, from, to }) => {
    const owner = steward === "local" ? "payers" : `the ${steward}`;
    const days = from || to ? `, in use${from ? ` from ${from}` : ""}${to ? ` until ${to}` : ""}` : "";
    const format = `the format of ${name}${section ? `, section “${labels.sections[section]}”` : ""}${days}`;
    return steward === "CMS"
      ? `no loaded release has this code; it has ${format}`
      : `it has ${format}. It belongs to ${owner} (${license}): no CMS release can state whether it exists or what it means`;
  };
  // What is known of a code that no loaded release has.
  const unknownText = (code) => {
    const ambulance = ambulanceOf(code);
    if (ambulance) return `on lines of ambulance codes: from ${ambulance[0].toLowerCase()} to ${ambulance[1].toLowerCase()}`;
    const identity = identityOf(code);
    return identity ? ownerText(identity) : "no loaded release has it, and no known code system has codes of this format";
  };

  const rowOf = (one, codeHistory, day) => {
    if (!codeHistory) {
      const identity = identityOf(one.code);
      const status = one.isNoCode ? "no code" : ambulanceOf(one.code) ? "ambulance modifier" : identity && identity.steward !== "CMS" ? "not CMS’s" : "unknown";
      const text = one.isNoCode ? "neither a code nor a modifier by its format" : unknownText(one.code);
      return { ...one, status, text, days: null, ended: null, successors: [], ends: [], changes: [] };
    }
    const row = daysRowOn(codeHistory, day);
    const span = spanOn(codeHistory, day) ?? codeHistory.spans.filter((s) => s.valid_from <= day).at(-1) ?? codeHistory.spans[0];
    const isOver = row && ["expired", "purged_unknown"].includes(row.status);
    const targets = codeHistory.targets.filter((t) => t.relation === "replaced_by" && t.episode === span.episode && !t.is_withdrawn);
    return {
      ...one,
      status: row ? statusOnDay(row.status) : "unknown",
      text: textOf(span),
      days: daysOf(codeHistory, span.episode),
      ended: isOver ? span.valid_to : null,
      successors: isOver ? targets.map((t) => t.target ?? `(a ${t.target_system} code, withheld)`) : [],
      ends: isOver ? [...new Set(targets.flatMap((t) => t.chain_ends ?? []))] : [],
      changes: codeHistory.changes.filter((c) => !QUIET.has(c.change)),
    };
  };

  const changesSince = (row, since) => {
    const found = row.changes.filter((c) => !since || c.release_id > since).map((c) => `${c.release_id} ${spoken(c.change)}${c.field === "record" ? "" : ` (${spoken(c.field)})`}`);
    return [...new Set(found)];
  };

  // Draws into `root`; resolves when it is drawn. `day` is YYYY-MM-DD.
  const drawList = async (root, list, day) => {
    const histories = await Promise.all(list.map((one) => historyOf(one.code)));
    const rows = list.map((one, n) => rowOf(one, histories[n], day));
    const releases = labels.releases.map(([release]) => release);
    const since = el("select", { id: "since" }, el("option", { value: "" }, "any release"), ...releases.slice(0, -1).reverse().map((r) => el("option", { value: r }, r)));
    since.value = releases.at(-2) ?? "";
    const box = el("div", {});
    const links = (codes) => (codes.length ? codes.flatMap((c, n) => [n ? ", " : "", c.startsWith("(") ? c : codeLink(c)]) : null);
    const draw = () => pagedRows(box, {
      rows,
      noun: ["code", "codes"],
      label: `Codes on ${day}`,
      remembers: false,
      filters: [
        { name: "on-day", label: `On ${day}`, value: (row) => row.status },
        { name: "changed", label: "Changed", value: (row) => (changesSince(row, since.value).length ? "yes" : "no") },
      ],
      text: (row) => [row.given, row.code, row.text, ...row.successors].join(" "),
      columns: [
        { label: "Code", name: "code", value: (row) => row.code, cell: (row) => row.isNoCode ? row.given : [codeLink(row.code), row.given.toUpperCase() === row.code ? "" : el("span", { class: "note" }, ` as ${row.given}`)] },
        { label: `On ${day}`, name: `status_on_${day}`, value: (row) => row.status, cell: (row) => row.status },
        { label: "Text", name: "text", value: (row) => row.text, cell: (row) => row.text, wide: true },
        { label: "In effect", name: "in_effect", value: (row) => row.days, cell: (row) => row.days },
        { label: "Replaced by", name: "replaced_by", value: (row) => row.successors.join("; "), cell: (row) => links(row.successors) },
        { label: "End of the chain", name: "chain_ends", value: (row) => row.ends.join("; "), cell: (row) => links(row.ends.filter((e) => !row.successors.includes(e))) },
        { label: "Changes since", name: "changes_since", value: (row) => changesSince(row, since.value).join("; "), cell: (row) => changesSince(row, since.value).join("; ") || null },
      ],
    });
    since.addEventListener("change", draw);
    const caution = cautionOn(day);
    root.replaceChildren(...(caution ? [el("p", { class: "note" }, caution)] : []),
      el("p", { class: "since" }, el("label", { for: "since" }, "Changes after "), since), box);
    draw();
  };

  Object.assign(window.hcpcs, { codeList: { drawList, unknownText } });
})();
