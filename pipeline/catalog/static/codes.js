// The page of codes: the search, the lists by section, a pasted list, and the history of a code. The URL says which of
// them is displayed: #J0570 a history, #q=words a search or a list, #in=J a section; `on=YYYY-MM-DD` asks for a day.
"use strict";

(() => {
  const { el, number, several } = window.hcpcs;
  const labels = window.hcpcs["codes/labels"];
  const { codes, descriptions, episodes, placeOf, withheld, statuses, isModifier, historyOf, isOf, isValidOn, listOf, matchesOf, readCode, textsOf } = window.hcpcs.codeSearch;
  const { badge, drawLife, statusBadge } = window.hcpcs.codeLife;
  const { drawList, unknownText } = window.hcpcs.codeList;
  const SHOWN = 50;

  const byId = (id) => document.getElementById(id);
  const [form, input, status, day, state, list, more, historyBox, start] =
    ["search", "words", "status", "day", "state", "matches", "more", "code-history", "start"].map(byId);
  const STATUS = { a: "active", t: "ended", p: "purged" };

  // A text with the words that were searched for marked.
  const marked = (text, searched) => {
    if (!searched.length) return [text];
    const words = searched.map((word) => word.replace(/[.]/g, "\\."));
    const parts = text.split(new RegExp(`(?<![a-z0-9])((?:${words.join("|")})[a-z0-9]*)`, "gi"));
    return parts.map((part, n) => (n % 2 ? el("mark", {}, part) : part));
  };
  const hasAll = (text, searched) => searched.every((word) => new RegExp(`(?<![a-z0-9])${word.replace(/[.]/g, "\\.")}`, "i").test(text));
  // The text to display: that of the day, else the newest that matches, else the newest.
  const chosenText = (texts, searched) => {
    if (day.value) return texts.find((one) => one.valid_from <= day.value && (!one.valid_to || day.value <= one.valid_to))?.text;
    return ([...texts].reverse().find((one) => one.text && hasAll(one.text, searched)) ?? texts.at(-1)).text;
  };

  const match = (place, earlier, searched) => {
    const code = codes[place];
    const text = el("span", {}, withheld.has(code) ? "text withheld: it belongs to another owner" : descriptions[place]);
    if (withheld.has(code)) text.className = "note";
    const link = el("a", { href: `#${code}` }, el("code", {}, code), " ", text);
    const notes = [];
    if (day.value) notes.push(badge(isValidOn(place, day.value) ? `in effect on ${day.value}` : `not in effect on ${day.value}`, isValidOn(place, day.value) ? "cms" : ""));
    else if (statuses[place] !== "a") notes.push(statusBadge(STATUS[statuses[place]]));
    if (episodes[place] > 1) notes.push(badge(`${episodes[place]} episodes`, "ours"));
    if (earlier?.has(place)) notes.push(badge("in an earlier wording"));
    const item = el("li", {}, link, ...notes.flatMap((note) => [" ", note]));
    if (!withheld.has(code)) {
      textsOf(code).then((texts) => {
        const chosen = chosenText(texts, searched);
        if (chosen) text.replaceChildren(...marked(chosen, searched));
      }, () => {}); // without the file the short description stays
    }
    return item;
  };

  const showMatches = (places, earlier, searched = []) => {
    let shown = 0;
    const showMore = () => {
      const part = places.slice(shown, shown + SHOWN);
      list.append(...part.map((place) => match(place, earlier, searched)));
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
      "Each word is looked for in the descriptions of every loaded release, the latest and earlier ones.",
      "Several codes, pasted, are answered as a list."];
    if (status.value) tips.unshift(`Only ${status.value === "a" ? "active" : "ended and purged"} codes are searched; choose “any” to see all.`);
    return el("ul", { class: "note" }, ...tips.map((tip) => el("li", {}, tip)));
  };

  const showList = async (wantedList) => {
    const on = day.value || new Date().toISOString().slice(0, 10);
    const asked = input.value;
    state.replaceChildren(`${several(wantedList.length, "code")} on ${on}`);
    showMatches([]);
    start.hidden = true;
    const box = el("div", { id: "list" });
    historyBox.replaceChildren(box);
    try {
      await drawList(box, wantedList, on);
    } catch (error) {
      if (input.value === asked) state.replaceChildren(`The list cannot be displayed: ${error.message}. Run hcpcs catalog again.`);
    }
  };

  const showSearch = () => {
    const text = input.value.trim();
    historyBox.replaceChildren();
    start.hidden = text !== "";
    if (!text) {
      state.replaceChildren();
      showMatches([]);
      return;
    }
    const pasted = listOf(text);
    if (pasted) {
      showList(pasted);
      return;
    }
    const one = readCode(text);
    const code = one && (one.modifiers.length || text.length === 5) ? one.code : null;
    const { places, earlier, searched, hasTypo } = matchesOf(code ?? text, status.value, day.value);
    const notes = [];
    if (one?.modifiers.length) notes.push(`${text} is read as ${code}, without ${one.modifiers.join(", ")}. `);
    if (hasTypo && places.length) notes.push(`No description has “${text}”; searched for “${searched.join(" ")}”. `);
    // A code typed in that no loaded release has: what its format says.
    const typed = (one && !placeOf.has(one.code) && (!isModifier(one.code) || !places.length)) ? one.code : null;
    if (typed) notes.push(el("p", {}, el("strong", {}, `${typed}: `), `${unknownText(typed)}.`));
    if (places.length) state.replaceChildren(...notes, several(places.length, "match", "matches"));
    else state.replaceChildren(...notes, `Nothing fits “${text}”.`, help());
    showMatches(places, earlier, searched);
  };

  const showSection = (prefix) => {
    const isIn = (code) => (prefix === "modifiers" ? isModifier(code) : !isModifier(code) && code.startsWith(prefix));
    const places = [...codes.keys()].filter((place) => isIn(codes[place]) && isOf(place, status.value, day.value));
    const what = prefix === "modifiers" ? several(places.length, "modifier") : `${several(places.length, "code")} that begin with ${prefix}`;
    input.value = "";
    historyBox.replaceChildren();
    start.hidden = true;
    state.replaceChildren(what, " · ", el("a", { href: "#" }, "all sections"));
    showMatches(places);
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
      const codeHistory = await historyOf(code);
      if (wanted !== code) return;
      historyBox.replaceChildren(drawLife(code, codeHistory, day.value));
      document.title = `${code} · ${document.title.split(" · ").slice(-2).join(" · ")}`;
      if (focus) historyBox.querySelector("h2").focus();
    } catch (error) {
      state.replaceChildren(`${code} cannot be displayed: ${error.message}. Run hcpcs catalog again.`);
    }
  };

  // Routing.
  const route = (focus) => {
    const hash = decodeURIComponent(location.hash.slice(1));
    const [first] = hash.split("&");
    const code = first.toUpperCase();
    const chosen = new URLSearchParams(location.hash.slice(1));
    wanted = null;
    // A link to a code names no day: the one that is asked for stays.
    if (chosen.has("on")) day.value = chosen.get("on");
    if (placeOf.has(code)) {
      showLife(code, { focus });
      return;
    }
    if (chosen.has("in")) {
      showSection(chosen.get("in"));
      if (focus) list.querySelector("a")?.focus();
      return;
    }
    // What is no loaded code and no word: searched for, so that the page says what is known of it.
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
    if (day.value) chosen.set("on", day.value);
    history.replaceState(null, "", `#${chosen}`);
    return chosen.get("in");
  };
  const update = () => {
    wanted = null;
    const prefix = remember();
    if (prefix) showSection(prefix);
    else showSearch();
  };
  const updateDay = () => {
    if (!wanted) {
      update();
      return;
    }
    history.replaceState(null, "", `#${wanted}${day.value ? `&on=${day.value}` : ""}`);
    showLife(wanted, { focus: false });
  };

  const links = () => [...list.querySelectorAll("a")];
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    links()[0]?.click();
  });
  input.addEventListener("input", update);
  // A field of one line would join the lines of a pasted list.
  input.addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (!/[\n\t]/.test(text.trim())) return;
    event.preventDefault();
    input.setRangeText(text.trim().split(/\s*[\n\t]\s*/).filter(Boolean).join(", "), input.selectionStart, input.selectionEnd, "end");
    update();
  });
  status.addEventListener("change", update);
  day.addEventListener("change", updateDay);
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
