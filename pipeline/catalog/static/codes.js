// The page of codes: the search, the lists by section, and the life of a code. The address says which of them is shown:
// #J0570 a life, #q=words a search, #in=J a section.
"use strict";

(() => {
  const { el, markedWording } = window.hcpcs;
  const search = window.hcpcs["codes/search"];
  const labels = window.hcpcs["codes/labels"];
  const folder = new URL("../data/codes/", document.currentScript.src);
  const SHOWN = 50;
  const DAY = 86_400_000;

  const byId = (id) => document.getElementById(id);
  const [form, input, status, state, list, more, lifeBox, start] =
    ["search", "words", "status", "state", "matches", "more", "life", "start"].map(byId);

  const number = (n) => n.toLocaleString("en-US");
  const several = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
  const spoken = (name) => name.replaceAll("_", " ");
  const titled = (name) => spoken(name).replace(/^./, (c) => c.toUpperCase()).replace(/^(asc|opps|betos)/i, (c) => c.toUpperCase());
  const STATUS = { a: "active", t: "ended", p: "purged" };
  const statusName = (word) => (word === "terminated" ? "ended" : word);
  const isModifier = (code) => code.length === 2;

  // The index. Places count the codes; the modifiers come last.
  const codes = search.codes.split(" ");
  const descriptions = search.descriptions.split("\n");
  const meanings = search.meanings.split(" ").map(Number);
  const words = search.words.split(" ");
  const [now, before] = [search.now.split(","), search.before.split(",")];
  const placeOf = new Map(codes.map((code, place) => [code, place]));
  const withheld = new Set(search.withheld.split(" "));

  const placesIn = (packed) => {
    let place = 0;
    return packed ? packed.split(" ").map((distance) => (place += parseInt(distance, 36))) : [];
  };

  const firstFrom = (sorted, wanted) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  // Places that a typed word fits, with how well: a code, a word of the latest wording, of an earlier one, a beginning.
  const fits = (typed) => {
    const found = new Map();
    const put = (place, score) => { if ((found.get(place) ?? 0) < score) found.set(place, score); };
    for (let n = firstFrom(words, typed); n < words.length && words[n].startsWith(typed); n++) {
      const whole = words[n] === typed ? 1 : 0;
      for (const place of placesIn(now[n])) put(place, 4 + 2 * whole);
      for (const place of placesIn(before[n])) put(place, 1 + whole);
    }
    const code = typed.toUpperCase();
    codes.forEach((one, place) => {
      if (one === code) put(place, 100);
      else if (code.length > 1 && !isModifier(one) && /\d/.test(code) && one.startsWith(code)) put(place, 20);
    });
    return found;
  };

  const isOf = (place, wanted) => !wanted || (wanted === "a") === (search.statuses[place] === "a");

  // Places that fit all words, best first; `earlier` are those that only an earlier wording brings.
  const matchesOf = (text, wanted) => {
    const typed = text.toLowerCase().match(/[0-9]+(?:[.,][0-9]+)+|[a-z0-9]+/g) ?? [];
    let found = null;
    const earlier = new Set();
    for (const word of typed) {
      const fitting = fits(word);
      for (const [place, score] of fitting) if (score < 4) earlier.add(place);
      found = found === null ? fitting : new Map([...found].filter(([p]) => fitting.has(p)).map(([p, s]) => [p, s + fitting.get(p)]));
    }
    const places = [...(found ?? new Map())].filter(([place]) => isOf(place, wanted));
    const rank = ([place, score]) => score - (search.statuses[place] === "a" ? 0 : 0.5);
    places.sort((a, b) => rank(b) - rank(a) || a[0] - b[0]);
    return { places: places.map(([place]) => place), earlier };
  };

  const badge = (text, kind = "", title = "") => el("span", { class: `badge ${kind}`, ...(title ? { title } : {}) }, text);
  const statusBadge = (word) => badge(word, { active: "cms", ended: "", purged: "" }[word]);

  // Matches.
  const match = (place, earlier) => {
    const code = codes[place];
    const said = withheld.has(code) ? el("span", { class: "note" }, "text withheld: not CMS’s to give") : descriptions[place];
    const link = el("a", { href: `#${code}` }, el("code", {}, code), " ", el("span", {}, said));
    const notes = [];
    if (search.statuses[place] !== "a") notes.push(statusBadge(STATUS[search.statuses[place]]));
    if (meanings[place] > 1) notes.push(badge(`${meanings[place]} meanings`, "ours"));
    if (earlier?.has(place)) notes.push(badge("in an earlier wording"));
    return el("li", {}, link, ...notes.flatMap((note) => [" ", note]));
  };

  const showMatches = (places, earlier) => {
    let shown = 0;
    const showMore = () => {
      const part = places.slice(shown, shown + SHOWN);
      list.append(...part.map((place) => match(place, earlier)));
      shown += part.length;
      more.hidden = shown >= places.length;
      more.textContent = `Show ${number(Math.min(SHOWN, places.length - shown))} more`;
    };
    list.replaceChildren();
    list.hidden = places.length === 0;
    more.onclick = () => {
      const first = shown;
      showMore();
      list.children[first].querySelector("a").focus();
    };
    showMore();
  };

  const help = () => {
    const tips = ["Write words as they begin: wheelc finds wheelchair. All of them must fit.",
      "Each word is looked for in the descriptions of every release held, the latest and earlier ones."];
    if (status.value) tips.unshift(`Only ${status.value === "a" ? "active" : "ended and purged"} codes are looked at; choose “any” to see all.`);
    if (/\b(\d{4}[0-9a-z]|d\d{4})\b/i.test(input.value)) {
      tips.unshift("CPT codes (five digits, or four and a letter) and CDT codes (the letter D) belong to the AMA and the ADA: this data set has none.");
    } else if (/\b[a-z]\d{4}\b/i.test(input.value)) tips.unshift("No release held has this code. It may have ended before the first of them, or come after the last.");
    return el("ul", { class: "note" }, ...tips.map((tip) => el("li", {}, tip)));
  };

  const showSearch = () => {
    const text = input.value.trim();
    lifeBox.replaceChildren();
    start.hidden = text !== "";
    if (!text) {
      state.replaceChildren();
      showMatches([]);
      return;
    }
    const { places, earlier } = matchesOf(text, status.value);
    if (places.length) state.replaceChildren(several(places.length, "match", "matches"));
    else state.replaceChildren(`Nothing fits “${text}”.`, help());
    showMatches(places, earlier);
  };

  const showSection = (prefix) => {
    const isIn = (code) => (prefix === "modifiers" ? isModifier(code) : !isModifier(code) && code.startsWith(prefix));
    const places = [...codes.keys()].filter((place) => isIn(codes[place]) && isOf(place, status.value));
    const what = prefix === "modifiers" ? several(places.length, "modifier") : `${several(places.length, "code")} that begin with ${prefix}`;
    input.value = "";
    lifeBox.replaceChildren();
    start.hidden = true;
    state.replaceChildren(what, " · ", el("a", { href: "#" }, "all sections"));
    showMatches(places);
  };

  // A life.
  const asked = new Map();
  const load = (name) => {
    if (!asked.has(name)) {
      asked.set(name, new Promise((resolve, reject) => {
        const script = el("script", { src: new URL(`${name}.js`, folder) });
        script.onload = () => resolve(window.hcpcs[`codes/${name}`]);
        script.onerror = () => { asked.delete(name); reject(new Error(`data/codes/${name}.js is missing`)); };
        document.head.append(script);
      }));
    }
    return asked.get(name);
  };

  const partsOf = (life) => Object.fromEntries(Object.entries(labels.life).map(([part, columns]) =>
    [part, (life[part] ?? []).map((row) => Object.fromEntries(columns.map((column, n) => [column, row[n]])))]));

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

  const daysOf = (spans) => {
    const last = spans.at(-1);
    return last.valid_to ? `${spans[0].valid_from} to ${last.valid_to}` : `since ${spans[0].valid_from}`;
  };

  const isWithheld = (meaning) => meaning.redistribution === "withheld";
  const withheldText = (meaning) => el("p", { class: "note" },
    `The text is withheld: it belongs to the ${meaning.steward} (${labels.licenses[meaning.license_id]}).`);

  const wording = (span, meaning) => (isWithheld(meaning) ? withheldText(meaning)
    : el("div", { class: "wording" }, el("p", {}, span.long_description ?? span.short_description ?? "no description"),
      el("p", { class: "note" }, "Short: ", span.short_description ?? "none")));

  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const isText = (field) => field.endsWith("_description");

  const differences = (old, span, meaning) => {
    const parts = [];
    for (const field of labels.content.filter((f) => isText(f) && !same(old[f], span[f])).reverse()) {
      parts.push(el("p", { class: "wording" }, el("span", { class: "note" }, `${titled(field)}: `), markedWording(old[field], span[field])));
    }
    const settings = labels.content.filter((f) => !isText(f) && !same(old[f], span[f]));
    if (settings.length) {
      parts.push(pairs(settings.map((f) => [titled(f), el("del", {}, el("span", { class: "hidden" }, "was "), valueOf(f, old[f])), " → ",
        el("ins", {}, el("span", { class: "hidden" }, "is now "), valueOf(f, span[f]))])));
    }
    if (!parts.length) parts.push(el("p", { class: "note" }, isWithheld(meaning) ? "What differs is withheld." : "The same as before, after a break."));
    return parts;
  };

  const settingsOf = (span) => {
    const stated = labels.content.filter((f) => !isText(f) && span[f] != null);
    return el("details", {}, el("summary", {}, `All that CMS says of it (${several(stated.length, "field")})`),
      pairs(stated.map((f) => [titled(f), valueOf(f, span[f])])));
  };

  const spanItem = (span, old, meaning) => el("li", {},
    el("p", { class: "days" }, el("strong", {}, daysOf([span])), " ",
      span.observed_gap ? badge("days uncertain", "", "A release that would decide one of these days is not held") : ""),
    ...(old ? differences(old, span, meaning) : [wording(span, meaning), settingsOf(span)]),
    el("p", { class: "note" }, `From: ${FROM[span.valid_from_basis]}. To: ${TO[span.valid_to_basis]}. Stated by `,
      releaseLink(span.first_release), ...(span.last_release === span.first_release ? [] : [" to ", releaseLink(span.last_release)]), "."));

  // The time axis begins a little before the first release held: what was before, no release tells in steps.
  const timeline = (life) => {
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
    const rows = life.meanings.map((meaning) => {
      const spans = life.spans.filter((span) => span.episode === meaning.episode);
      const track = el("div", { class: "track" }, ...gaps(), ...spans.map((span, n) => {
        const begin = time(span.valid_from);
        const end = span.valid_to ? time(span.valid_to) + DAY : to;
        if (end < from) return "";
        const kind = `span ${n % 2 ? "odd" : "even"}${begin < from ? " earlier" : ""}${span.valid_to ? "" : " open"}`;
        return bar(kind, begin, end);
      }));
      const isOver = spans.at(-1).valid_to && time(spans.at(-1).valid_to) < from;
      const begun = isOver ? `, before this axis: ${daysOf(spans)}` : time(spans[0].valid_from) < from ? `, since ${spans[0].valid_from}` : "";
      return el("div", { class: "lane" }, el("span", { class: "name" }, `Meaning ${meaning.episode}${begun}`), track);
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
    const told = life.meanings.map((m) => `Meaning ${m.episode}: ${daysOf(life.spans.filter((s) => s.episode === m.episode))}`);
    return el("figure", { class: "lifeline" },
      el("div", { "aria-hidden": "true" }, ...rows, el("div", { class: "lane" }, el("span", { class: "name" }, "Releases held"), marks), axis),
      el("figcaption", {}, `${told.join("; ")}. Shades change where its wording or settings do.`,
        labels.gaps.length ? " Hatched: CMS posted releases that are not held, so days there are uncertain." : ""));
  };

  const OUTCOME = {
    active: "which is active", not_ours: "a code of another owner", dead_end: "an ended code without a successor", loop: "nowhere, in a circle",
    never_seen: "a code that no release held has", no_code: "no code at all",
  };
  const targetItem = (target) => {
    const named = target.target === null
      ? el("span", {}, `a ${target.target_system} code, withheld: it is its owner’s to give`)
      : codeLink(target.target);
    const parts = [named];
    if (target.target_episode > 1) parts.push(` in meaning ${target.target_episode}`);
    if (target.target !== null) parts.push(" ", badge(statusName(spoken(target.target_status)), target.target_status === "active" ? "cms" : ""));
    const ends = (target.chain_ends ?? []).filter((end) => end !== target.target);
    if (ends.length) parts.push(", in the end ", ...ends.flatMap((end, n) => [n ? ", " : "", codeLink(end)]), `, ${OUTCOME[target.chain_outcome]}`);
    if (target.is_withdrawn) parts.push(" ", badge("withdrawn by CMS"));
    const verb = target.relation === "replaced_by" ? "Replaced by " : "See also ";
    return el("li", {}, `Meaning ${target.episode}: `, verb, ...parts, el("span", { class: "note" },
      ` (named by ${target.first_release}${target.last_release === target.first_release ? "" : ` to ${target.last_release}`})`));
  };
  const sourceItem = (source) => el("li", {}, codeLink(source.code), source.episode > 1 ? ` in meaning ${source.episode}` : "",
    source.relation === "replaced_by" ? " was replaced by it" : " names it as a reference", source.is_withdrawn ? " (withdrawn by CMS)" : "");

  const DISAGREES = {
    not_reported: "no: it says that nothing changed", reported_differently: "no: it reports something else",
    stale_action_code: "no: it repeats an older action", not_observed: "no: what it claims did not happen",
  };
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
      el("td", {}, change.agrees_with_cms === null ? "cannot say" : change.agrees_with_cms ? "yes" : DISAGREES[change.disagreement]));
  };

  const scrollBox = (label, table) => el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, table);

  const drawLife = (code, raw) => {
    const life = partsOf(raw);
    const current = life.meanings.find((meaning) => meaning.is_current_episode);
    const spansOf = (meaning) => life.spans.filter((span) => span.episode === meaning.episode);
    const latest = spansOf(current).at(-1);
    const place = placeOf.get(code);
    const heading = el("h2", { tabindex: "-1", class: "code" }, el("code", {}, code), " ", isWithheld(current) ? "" : descriptions[place]);
    const count = life.meanings.length;
    const badges = el("p", { class: "badges" }, statusBadge(statusName(current.status)), " ",
      badge(current.steward, isWithheld(current) ? "withheld" : "cms", current.license_id), " ",
      count > 1 ? badge(`${count} meanings`, "ours") : "", " ", current.is_unlisted ? badge("unlisted code (NOC)") : "");
    const facts = pairs([
      ["Valid", daysOf(spansOf(current))],
      ["Section", labels.sections[current.section_id]],
      ["Coverage", latest.coverage_code && valueOf("coverage_code", latest.coverage_code)],
      ["Pricing", latest.pricing_indicators && valueOf("pricing_indicators", latest.pricing_indicators)],
      ["Type of service (BETOS)", latest.betos_code && valueOf("betos_code", latest.betos_code)],
      ["Replaced by", ...(current.replaced_by ?? []).flatMap((to, n) => [n ? ", " : "", codeLink(to)])],
      ["Seen in", releaseLink(current.first_release), " to ", releaseLink(current.last_release)],
    ].filter((row) => row.length > 1));
    const stories = [...life.meanings].reverse().map((meaning) => {
      const spans = spansOf(meaning);
      const title = count > 1 ? `Meaning ${meaning.episode} of ${count}` : "What it meant";
      return section(`${title}: ${daysOf(spans)}${count > 1 ? `, ${statusName(meaning.status)}` : ""}`,
        el("ol", { class: "spans" }, ...spans.map((span, n) => spanItem(span, spans[n - 1], meaning))));
    });
    const parts = [heading, badges, wording(latest, current), facts, timeline(life), ...stories];
    if (life.targets.length) parts.push(section("Where CMS says it leads", el("ul", {}, ...life.targets.map(targetItem))));
    if (life.sources.length) parts.push(section("What leads here", el("ul", {}, ...life.sources.map(sourceItem))));
    if (life.changes.length) {
      const head = el("tr", {}, ...["Release", "Change", "Field", "Before → after", "CMS’s action", "Does it tell?"].map((h) => el("th", { scope: "col" }, h)));
      parts.push(section("What changed, release by release", scrollBox(`Changes of ${code}`,
        el("table", { class: "rows" }, el("thead", {}, head), el("tbody", {}, ...life.changes.map(changeRow))))));
    }
    if (life.findings.length) {
      parts.push(section("Findings about it", el("ul", {}, ...life.findings.map((f) =>
        el("li", {}, releaseLink(f.release_id), `, ${spoken(f.finding)} (${f.severity}): ${f.message}. Done: ${f.action}.`))),
      el("p", {}, el("a", { href: `findings.html#q=${code}` }, "In the list of findings"))));
    }
    parts.push(section("License", ...life.meanings.map((m) => el("p", {}, count > 1 ? `Meaning ${m.episode}: ` : "",
      `${labels.licenses[m.license_id]}. `, isWithheld(m) ? `Withheld: ${m.withheld_fields.map(spoken).join(", ")}. ` : "Its text may be passed on. ",
      m.cites_cpt ? "CMS’s own words cite a number shaped like a CPT or CDT code. " : "")),
      el("p", {}, el("a", { href: "licenses.html" }, "All licenses"))));
    const table = isModifier(code) ? "modifier" : "procedure";
    parts.push(section("Ask for yourself", el("pre", { tabindex: "0", class: "ask", "aria-label": "Command and query" },
      `hcpcs history ${code}\n\nselect valid_from, valid_to, long_description\nfrom 'latest/open/hcpcs_history.parquet'\nwhere kind = '${table}' and code = '${code}'\norder by valid_from;`)));
    return el("article", { class: "life" }, ...parts);
  };

  let wanted = null;
  const showLife = async (code, { focus }) => {
    wanted = code;
    start.hidden = true;
    more.hidden = true;
    list.hidden = true;
    const back = input.value ? [el("a", { href: `#${new URLSearchParams({ q: input.value })}` }, `Back to the matches for “${input.value}”`)] : [el("a", { href: "#" }, "All sections")];
    state.replaceChildren(...back);
    try {
      const shard = await load(isModifier(code) ? "modifiers" : code.slice(0, labels.shard));
      if (wanted !== code) return;
      lifeBox.replaceChildren(drawLife(code, shard[code]));
      document.title = `${code} · ${document.title.split(" · ").slice(-2).join(" · ")}`;
      if (focus) lifeBox.querySelector("h2").focus();
    } catch (error) {
      state.replaceChildren(`The life of ${code} cannot be shown: ${error.message}. Run hcpcs catalog again.`);
    }
  };

  // Routing.
  const route = (focus) => {
    const hash = decodeURIComponent(location.hash.slice(1));
    const code = hash.toUpperCase();
    wanted = null;
    if (placeOf.has(code)) {
      showLife(code, { focus });
      return;
    }
    const chosen = new URLSearchParams(location.hash.slice(1));
    if (chosen.has("in")) {
      showSection(chosen.get("in"));
      if (focus) list.querySelector("a")?.focus();
      return;
    }
    // What is no code held and no word: looked for, so that the page says what there is to say of it.
    input.value = chosen.get("q") ?? (/^[a-z0-9]{2,5}$/i.test(hash) ? hash : "");
    if (chosen.has("status")) status.value = chosen.get("status");
    showSearch();
  };
  const remember = () => {
    const chosen = new URLSearchParams();
    const prefix = new URLSearchParams(location.hash.slice(1)).get("in");
    if (!input.value.trim() && prefix) chosen.set("in", prefix);
    if (input.value.trim()) chosen.set("q", input.value.trim());
    if (status.value) chosen.set("status", status.value);
    history.replaceState(null, "", `#${chosen}`);
    return chosen.get("in");
  };
  const update = () => {
    wanted = null;
    const prefix = remember();
    if (prefix) showSection(prefix);
    else showSearch();
  };

  const links = () => [...list.querySelectorAll("a")];
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    links()[0]?.click();
  });
  input.addEventListener("input", update);
  status.addEventListener("change", update);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" || list.hidden || !links().length) return;
    event.preventDefault();
    links()[0].focus();
  });
  list.addEventListener("keydown", (event) => {
    const all = links();
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Escape" || to === -1) input.focus();
    else if (to !== undefined && all[to]) all[to].focus();
    else return;
    event.preventDefault();
  });
  addEventListener("hashchange", () => route(true));
  form.hidden = false;
  route(false);
})();
