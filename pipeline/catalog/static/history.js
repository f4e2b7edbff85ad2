// The history of a code: its episodes, wordings, days, changes and successors, drawn out of the file that has it.
"use strict";

(() => {
  const { el, markedWording, number, several, spoken } = window.hcpcs;
  const labels = window.hcpcs["codes/labels"];
  const { descriptions, placeOf, isModifier, ambulanceOf } = window.hcpcs.codeSearch;
  const DAY = 86_400_000;

  const titled = (name) => spoken(name).replace(/^./, (c) => c.toUpperCase()).replace(/^(asc|opps|betos)/i, (c) => c.toUpperCase());
  const statusName = (word) => (word === "terminated" ? "ended" : word);
  const badge = (text, kind = "", title = "") => el("span", { class: `badge ${kind}`, ...(title ? { title } : {}) }, text);
  const statusBadge = (word) => badge(word, { active: "cms", ended: "", purged: "" }[word]);
  const shifted = (day, by) => new Date(Date.parse(`${day}T00:00:00Z`) + by * DAY).toISOString().slice(0, 10);
  const dayAfter = (day) => shifted(day, 1);
  const dayBefore = (day) => shifted(day, -1);

  const valueOf = (field, value) => {
    if (value == null) return "none";
    const label = (one) => (labels.values[field]?.[one] ? `${one} (${labels.values[field][one]})` : String(one));
    return Array.isArray(value) ? value.map(label).join("; ") : label(value);
  };
  // Values of changes: lists stand there as JSON.
  const changedValue = (field, value) => {
    if (value == null) return null;
    return valueOf(field, value.startsWith("[") ? JSON.parse(value) : value) || "none";
  };

  const codeLink = (code) => (placeOf.has(code) ? el("a", { href: `#${code}` }, el("code", {}, code)) : el("code", {}, code));
  const releaseLink = (release) => el("a", { href: `releases/${release}.html`, class: "nowrap" }, release);
  const section = (title, ...content) => el("section", {}, el("h3", {}, title), ...content);
  const pairs = (rows) => el("dl", { class: "pairs" },
    ...rows.filter(([, value]) => value != null && value !== "").map(([name, ...value]) => el("div", {}, el("dt", {}, name), el("dd", {}, ...value))));

  const FROM = { added: "the added date that CMS states", action: "the date of CMS’s action", release: "the day on which the release takes effect" };
  const TO = {
    termination: "the end that CMS states",
    next_span: "the day before the next wording or setting",
    absence: "the day before the first release without it; CMS states no end",
    open: "no end known",
  };

  // Runs of days without a break, from those that a list of rows names; each row ends before the next begins.
  const runsOf = (rows) => {
    const runs = [];
    for (const [from, to] of rows) {
      const last = runs.at(-1);
      if (last?.[1] && dayAfter(last[1]) === from) last[1] = to;
      else runs.push([from, to]);
    }
    return runs;
  };
  const runText = ([from, to]) => (to ? `${from} to ${to}` : `since ${from}`);
  // Each run and each break between them.
  const runsText = (runs) => runs.map(runText).join(", then ") + runs.slice(1).map((run, n) =>
    `${n ? "," : "; not in effect"} ${dayAfter(runs[n][1])} to ${dayBefore(run[0])}`).join("");
  const LAST_DAY = "9999-12-31";
  const daysOf = (codeHistory, episode) => runsText(runsOf(codeHistory.days.filter((row) => row.status === "valid" && row.episode === episode)
    .map((row) => [row.from_day, row.to_day === LAST_DAY ? null : row.to_day])));

  // What hcpcs_validity says of a status, in words.
  const statusOnDay = (status) => labels.statuses[status] ?? spoken(status);
  // Why the loaded releases may not decide a day, or null.
  const cautionOn = (day) => {
    const [oldest, newest] = [labels.releases[0], labels.releases.at(-1)];
    if (day < oldest[1]) return `The oldest loaded release is ${oldest[0]}: for earlier days only CMS’s added dates are known, and the wording may have been different.`;
    const due = labels.due.find((one) => one > newest[1]);
    if (due && day >= due) return `The newest loaded release is ${newest[0]}: what CMS changed after it is not known.`;
    if (labels.gaps.some(([a, b]) => a <= day && day < b)) return "CMS’s release of that day is not loaded: the wording may have been different.";
    return null;
  };
  const daysRowOn = (codeHistory, day) => codeHistory.days.find((row) => row.from_day <= day && day <= row.to_day);
  const spanOn = (codeHistory, day) => codeHistory.spans.find((span) => span.valid_from <= day && (!span.valid_to || day <= span.valid_to));
  const textOf = (span) => span.long_description ?? span.short_description ?? "text withheld";

  const answerOn = (code, codeHistory, day) => {
    const row = daysRowOn(codeHistory, day);
    if (!row) return el("p", { class: "answer" }, `No span of ${code} covers ${day}.`);
    const span = spanOn(codeHistory, day);
    const many = codeHistory.episodes.length > 1;
    const caution = cautionOn(day);
    const inEffect = codeHistory.days.filter((one) => one.status === "valid");
    const [before, after] = [inEffect.filter((one) => one.to_day < day).at(-1), inEffect.find((one) => one.from_day > day)];
    const around = [before ? `in effect until ${before.to_day}` : null, after ? `${before ? "again " : "in effect "}from ${after.from_day}` : null].filter(Boolean);
    const targets = codeHistory.targets.filter((t) => before && !span && t.relation === "replaced_by" && t.episode === before.episode && !t.is_withdrawn);
    return el("div", { class: `answer ${row.status}`, role: "status" },
      el("p", {}, el("strong", {}, `On ${day}: ${statusOnDay(row.status)}`), span && many ? `, episode ${span.episode}` : "",
        span ? `: ${textOf(span)}` : ` (${around.join(", ")})`),
      targets.length ? el("ul", {}, ...targets.map(targetItem)) : "",
      caution ? el("p", { class: "note" }, caution) : "");
  };

  const isWithheld = (state) => state.redistribution === "withheld";
  const withheldText = (state) => el("p", { class: "note" },
    `The text is withheld: it belongs to the ${state.steward} (${labels.licenses[state.license_id]}).`);

  const wording = (span, state) => (isWithheld(state) ? withheldText(state)
    : el("div", { class: "wording" }, el("p", {}, span.long_description ?? span.short_description ?? "no description"),
      el("p", { class: "note" }, "Short: ", span.short_description ?? "none")));

  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const isText = (field) => field.endsWith("_description");

  const differences = (old, span, state) => {
    const parts = [];
    for (const field of labels.content.filter((f) => isText(f) && !same(old[f], span[f])).reverse()) {
      parts.push(el("p", { class: "wording" }, el("span", { class: "note" }, `${titled(field)}: `), markedWording(old[field], span[field])));
    }
    const settings = labels.content.filter((f) => !isText(f) && !same(old[f], span[f]));
    if (settings.length) {
      parts.push(pairs(settings.map((f) => [titled(f), el("del", {}, el("span", { class: "hidden" }, "was "), valueOf(f, old[f])), " → ",
        el("ins", {}, el("span", { class: "hidden" }, "is now "), valueOf(f, span[f]))])));
    }
    if (!parts.length) parts.push(el("p", { class: "note" }, isWithheld(state) ? "What differs is withheld." : "The same as before the break."));
    return parts;
  };

  // CMS's own record, from which a span is: its lines with one field marked. Its cells are the fields of labels.record,
  // the head (sequence number and record id of each line) and the filler; null is withheld. A workbook's has no head.
  // A cell that is the span's own text is "=".
  const cellOf = (span, field) => (span[`record.${field}`] === "=" ? span[field] : span[`record.${field}`]);
  const isInWorkbook = (span) => !cellOf(span, "head");
  const WITHHELD = "▒";
  const part = (text, isMarked) => (isMarked ? el("mark", {}, text) : text);
  const recordLines = (code, span, field) => {
    const rows = labels.record.map(([name, , width]) => [name, cellOf(span, name), width, name === field]);
    if (isInWorkbook(span)) {
      return rows.filter(([name, cell, , isMarked]) => isMarked || cell !== "").flatMap(([name, cell, , isMarked]) =>
        [`${name}: `, part(cell === null ? "withheld" : cell.replaceAll("\t", " | ").replaceAll("\n", ""), isMarked), "\n"]);
    }
    const [first, ...others] = rows;
    const heads = cellOf(span, "head").split("\n");
    const texts = first[1] === null ? heads.map(() => WITHHELD.repeat(first[2])) : first[1].split("\n").map((text) => text.padEnd(first[2]));
    const lines = heads.map((head, n) => [`${code.padEnd(5)}${head}`, part(texts[n], first[3])]);
    let at = labels.record[0][1] + first[2];
    others.forEach(([, cell, width, isMarked], n) => {
      const start = labels.record[n + 1][1];
      lines[0].push(" ".repeat(start - at), part(cell === null ? WITHHELD.repeat(width) : cell.padEnd(width), isMarked));
      at = start + width;
    });
    lines[0].push(cellOf(span, "filler"));
    return lines.flatMap((line) => [...line, "\n"]);
  };
  const drawRecord = (code, span) => {
    const fields = labels.record.filter(([name]) => cellOf(span, name) !== "");
    const choice = el("select", {}, ...fields.map(([name]) => el("option", { value: name }, titled(name))));
    const lines = el("pre", { tabindex: "0", class: "ask", "aria-label": `CMS’s record of ${code} in ${span.first_release}` });
    const where = el("span", { class: "note" });
    const draw = () => {
      const [name, start, width] = labels.record.find(([one]) => one === choice.value);
      where.textContent = isInWorkbook(span) ? "" : ` positions ${start}${width > 1 ? `-${start + width - 1}` : ""}`;
      lines.replaceChildren(...recordLines(code, span, name));
      const mark = lines.querySelector("mark");
      const at = mark ? mark.offsetLeft - lines.offsetLeft : 0;
      lines.scrollLeft = at < lines.clientWidth / 2 ? 0 : at - 40;
    };
    choice.addEventListener("change", draw);
    return { choice, draw, parts: [el("p", {}, el("label", {}, "Field ", choice), where), lines] };
  };
  const recordOf = (code, span, state) => {
    if (isWithheld(state) && span.source_member) return el("p", { class: "note" }, `CMS’s record is withheld: it belongs to the ${state.steward}.`);
    if (cellOf(span, "head") === null) return "";
    const box = el("details", { class: "record" }, el("summary", {},
      `CMS’s record: ${isInWorkbook(span) ? "row" : "line"} ${number(span.source_line)} of ${span.source_member}, release ${span.first_release}`));
    let drawn = null;
    const open = () => {
      if (drawn) return;
      drawn = drawRecord(code, span);
      box.append(...drawn.parts);
      drawn.draw();
    };
    box.addEventListener("toggle", () => { if (box.open) open(); });
    box.markField = (field) => {
      open();
      box.open = true;
      drawn.choice.value = field;
      drawn.draw();
      drawn.choice.focus();
    };
    return box;
  };

  const settingsOf = (span, record) => {
    const stated = labels.content.filter((f) => !isText(f) && span[f] != null);
    const name = (field) => {
      if (!record.markField) return titled(field);
      const button = el("button", { type: "button", class: "field", title: "Mark it in CMS’s record" }, titled(field));
      button.addEventListener("click", () => record.markField(field));
      return button;
    };
    return el("details", {}, el("summary", {}, `All that CMS says of it (${several(stated.length, "field")})`),
      pairs(stated.map((f) => [name(f), valueOf(f, span[f])])));
  };

  const spanItem = (code, span, old, state, record = recordOf(code, span, state)) => el("li", {},
    el("p", { class: "days" }, el("strong", {}, runText([span.valid_from, span.valid_to])), " ",
      span.observed_gap ? badge("days uncertain", "", "CMS posted releases in this period that are not loaded") : ""),
    ...(old ? differences(old, span, state) : [wording(span, state), settingsOf(span, record)]),
    el("p", { class: "note" }, `From: ${FROM[span.valid_from_basis]}. To: ${TO[span.valid_to_basis]}. Stated by `,
      releaseLink(span.first_release), span.source_member ? ` (line ${number(span.source_line)} of ${span.source_member})` : "", ...(span.last_release === span.first_release ? [] : [" to ", releaseLink(span.last_release)]), "."), record);

  // The time axis begins a little before the first release held: what was before, no release tells in steps.
  const timeline = (codeHistory) => {
    const time = (day) => Date.parse(`${day}T00:00:00Z`);
    const days = labels.releases.map(([, day]) => time(day));
    const [from, to] = [days[0] - 730 * DAY, days.at(-1) + 365 * DAY];
    const at = (t) => `${Math.min(100, Math.max(0, ((t - from) / (to - from)) * 100)).toFixed(2)}%`;
    const bar = (kind, a, b, ...content) => {
      const made = el("span", { class: kind }, ...content);
      made.style.left = at(a);
      made.style.width = `calc(${at(b)} - ${at(a)})`;
      return made;
    };
    const gaps = () => labels.gaps.map(([a, b]) => bar("gap", time(a), time(b)));
    const rows = codeHistory.episodes.map((state) => {
      const spans = codeHistory.spans.filter((span) => span.episode === state.episode);
      const track = el("div", { class: "track" }, ...gaps(), ...spans.map((span, n) => {
        const begin = time(span.valid_from);
        const end = span.valid_to ? time(span.valid_to) + DAY : to;
        if (end < from) return "";
        const kind = `span ${n % 2 ? "odd" : "even"}${begin < from ? " earlier" : ""}${span.valid_to ? "" : " open"}`;
        return bar(kind, begin, end);
      }));
      const isOver = spans.at(-1).valid_to && time(spans.at(-1).valid_to) < from;
      const begun = isOver ? `, before this axis: ${daysOf(codeHistory, state.episode)}` : time(spans[0].valid_from) < from ? `, since ${spans[0].valid_from}` : "";
      return el("div", { class: "lane" }, el("span", { class: "name" }, `Episode ${state.episode}${begun}`), track);
    });
    const marks = el("div", { class: "track releases" }, ...labels.releases.map(([release, day]) => {
      const mark = el("span", { class: "release", title: release });
      mark.style.left = at(time(day));
      return mark;
    }));
    const axis = el("div", { class: "axis" });
    for (let year = new Date(from).getUTCFullYear() + 1; time(`${year}-01-01`) < to; year++) {
      if (year % 2) continue;
      const tick = el("span", {}, String(year));
      tick.style.left = at(time(`${year}-01-01`));
      axis.append(tick);
    }
    const summaries = codeHistory.episodes.map((m) => `Episode ${m.episode}: ${daysOf(codeHistory, m.episode)}`);
    return el("figure", { class: "timeline-of-code" },
      el("div", { "aria-hidden": "true" }, ...rows, el("div", { class: "lane" }, el("span", { class: "name" }, "Loaded releases"), marks), axis),
      el("figcaption", {}, `${summaries.join("; ")}. Shades change where its wording or settings do.`,
        labels.gaps.length ? " Hatched: CMS posted releases that are not loaded, so days there are uncertain." : ""));
  };

  const OUTCOME = {
    active: "which is active", not_ours: "a code of another owner", dead_end: "an ended code without a successor", loop: "nowhere, in a circle",
    never_seen: "a code that no loaded release has", no_code: "no code at all",
  };
  const targetItem = (target) => {
    const named = target.target === null
      ? el("span", {}, `a ${target.target_system} code, which is withheld`)
      : codeLink(target.target);
    const parts = [named];
    if (target.target_episode > 1) parts.push(` in episode ${target.target_episode}`);
    if (target.target !== null) parts.push(" ", badge(statusName(spoken(target.target_status)), target.target_status === "active" ? "cms" : ""));
    const ends = (target.chain_ends ?? []).filter((end) => end !== target.target);
    if (ends.length) parts.push(", in the end ", ...ends.flatMap((end, n) => [n ? ", " : "", codeLink(end)]), `, ${OUTCOME[target.chain_outcome]}`);
    if (target.is_withdrawn) parts.push(" ", badge("withdrawn by CMS"));
    const verb = target.relation === "replaced_by" ? "Replaced by " : "See also ";
    return el("li", {}, `Episode ${target.episode}: `, verb, ...parts, el("span", { class: "note" },
      ` (named by ${target.first_release}${target.last_release === target.first_release ? "" : ` to ${target.last_release}`})`));
  };
  const sourceItem = (source) => el("li", {}, codeLink(source.code), source.episode > 1 ? ` in episode ${source.episode}` : "",
    source.relation === "replaced_by" ? " was replaced by it" : " names it as a reference", source.is_withdrawn ? " (withdrawn by CMS)" : "");

  const changeRow = (change) => {
    const [old, fresh] = [changedValue(change.field, change.old), changedValue(change.field, change.new)];
    const what = change.withheld_fields ? "withheld"
      : change.change === "text_format_only" ? "case, spacing or punctuation"
      : isText(change.field) ? "see the wordings above"
      : old === null && fresh === null ? "–" : `${old ?? "none"} → ${fresh ?? "none"}`;
    const posting = change.previous_release_id === change.release_id ? ` (posted again, ${change.revision})` : "";
    const action = change.cms_action_code ? valueOf("action_code", change.cms_action_code) : "–";
    return el("tr", {}, el("td", { class: "nowrap" }, releaseLink(change.release_id), posting), el("td", {}, spoken(change.change)),
      el("td", {}, change.field === "record" ? "the whole record" : spoken(change.field)), el("td", {}, what), el("td", {}, action),
      el("td", {}, change.agrees_with_cms === null ? "cannot be compared" : change.agrees_with_cms ? "yes" : `no: ${labels.disagreements[change.disagreement]}`));
  };

  const scrollBox = (label, table) => el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, table);

  const drawLife = (code, codeHistory, day) => {
    const current = codeHistory.episodes.find((state) => state.is_current_episode);
    const spansOf = (state) => codeHistory.spans.filter((span) => span.episode === state.episode);
    const latest = spansOf(current).at(-1);
    const place = placeOf.get(code);
    const heading = el("h2", { tabindex: "-1", class: "code" }, el("code", {}, code), " ", isWithheld(current) ? "" : descriptions[place]);
    const count = codeHistory.episodes.length;
    const badges = el("p", { class: "badges" }, statusBadge(statusName(current.status)), " ",
      badge(current.steward, isWithheld(current) ? "withheld" : "cms", current.license_id), " ",
      count > 1 ? badge(`${count} episodes`, "ours") : "", " ", current.is_unlisted ? badge("unlisted code (NOC)") : "");
    const facts = pairs([
      ["In effect", daysOf(codeHistory, current.episode)],
      ["Section", labels.sections[current.section_id]],
      ["Coverage", latest.coverage_code && valueOf("coverage_code", latest.coverage_code)],
      ["Pricing", latest.pricing_indicators && valueOf("pricing_indicators", latest.pricing_indicators)],
      ["Type of service (BETOS)", latest.betos_code && valueOf("betos_code", latest.betos_code)],
      ["Replaced by", ...(current.replaced_by ?? []).flatMap((to, n) => [n ? ", " : "", codeLink(to)])],
      ["Seen in", releaseLink(current.first_release), " to ", releaseLink(current.last_release)],
    ].filter((row) => row.length > 1));
    const stories = [...codeHistory.episodes].reverse().map((state) => {
      const spans = spansOf(state);
      const title = count > 1 ? `Episode ${state.episode} of ${count}` : "What it meant";
      return section(`${title}: ${daysOf(codeHistory, state.episode)}${count > 1 ? `, ${statusName(state.status)}` : ""}`,
        el("ol", { class: "spans" }, ...spans.map((span, n) => spanItem(code, span, spans[n - 1], state))));
    });
    const ambulance = ambulanceOf(code);
    const parts = [heading, badges, day ? answerOn(code, codeHistory, day) : "", wording(latest, current), facts];
    if (ambulance) parts.push(el("p", {}, `On lines of ambulance codes: from ${ambulance[0].toLowerCase()} to ${ambulance[1].toLowerCase()}.`));
    parts.push(timeline(codeHistory), ...stories);
    if (codeHistory.targets.length) parts.push(section("Where CMS says it leads", el("ul", {}, ...codeHistory.targets.map(targetItem))));
    if (codeHistory.sources.length) parts.push(section("What leads here", el("ul", {}, ...codeHistory.sources.map(sourceItem))));
    if (codeHistory.changes.length) {
      const head = el("tr", {}, ...["Release", "Change", "Field", "Before → after", "CMS’s action", "Action code agrees?"].map((h) => el("th", { scope: "col" }, h)));
      parts.push(section("What changed, release by release", scrollBox(`Changes of ${code}`,
        el("table", { class: "rows" }, el("thead", {}, head), el("tbody", {}, ...codeHistory.changes.map(changeRow))))));
    }
    if (codeHistory.findings.length) {
      parts.push(section("Findings about it", el("ul", {}, ...codeHistory.findings.map((f) =>
        el("li", {}, releaseLink(f.release_id), `, ${spoken(f.finding)} (${f.severity}): ${f.message}. Done: ${f.action}.`))),
      el("p", {}, el("a", { href: `findings.html#q=${code}` }, "In the list of findings"))));
    }
    parts.push(section("License", ...codeHistory.episodes.map((m) => el("p", {}, count > 1 ? `Episode ${m.episode}: ` : "",
      `${labels.licenses[m.license_id]}. `, isWithheld(m) ? `Withheld: ${m.withheld_fields.map(spoken).join(", ")}. ` : "Its text may be redistributed. ",
      m.cites_cpt ? "CMS’s own words cite a number shaped like a CPT or CDT code. " : "")),
      el("p", {}, el("a", { href: "licenses.html" }, "All licenses"))));
    const table = isModifier(code) ? "modifier" : "procedure";
    parts.push(section("Query it", el("p", {}, "A plain page of it, for links: ", el("a", { href: `codes/${code}.html` }, `codes/${code}.html`)), el("pre", { tabindex: "0", class: "ask", "aria-label": "Command and query" },
      `hcpcs history ${code}\n# CMS’s own lines, from the archive, with a field marked:\nhcpcs lookup ${code} --source --field termination_date\n\nselect valid_from, valid_to, long_description\nfrom 'latest/open/hcpcs_history.parquet'\nwhere kind = '${table}' and code = '${code}'\norder by valid_from;`)));
    return el("article", { class: "code-history" }, ...parts);
  };

  Object.assign(window.hcpcs, {
    codeLife: { badge, codeLink, daysOf, daysRowOn, drawLife, spanOn, statusBadge, statusOnDay, textOf, cautionOn },
  });
})();
