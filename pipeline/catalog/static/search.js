// The index of codes: words, days and formats of codes, and the files with texts and histories. Draws nothing.
"use strict";

(() => {
  const { el, rowsOf } = window.hcpcs;
  const labels = window.hcpcs["codes/labels"];
  const search = window.hcpcs["codes/search"];
  const systems = window.hcpcs["codes/systems"];
  const folder = new URL("../data/codes/", document.currentScript.src);
  const DAY = 86_400_000;

  // Places count the codes; the modifiers come last.
  const codes = search.codes.split(" ");
  const descriptions = search.descriptions.split("\n");
  const episodes = search.episodes.split(" ").map(Number);
  const words = search.words.split(" ");
  const { now, before } = search;
  const placeOf = new Map(codes.map((code, place) => [code, place]));
  const withheld = new Set(search.withheld.split(" "));
  const isModifier = (code) => code.length === 2;

  const placesIn = (distances) => {
    let place = 0;
    return distances.map((distance) => (place += distance));
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

  const isValidOn = (place, day) => {
    const wanted = Date.parse(`${day}T00:00:00Z`) / DAY;
    return search.first_days[place].some((first, n) => first <= wanted && wanted <= search.last_days[place][n]);
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

  // Letters added, left out, changed or swapped between two words; more than `most` is not counted further.
  const edits = (a, b, most) => {
    let [older, old] = [[], Array.from({ length: b.length + 1 }, (_, n) => n)];
    for (let i = 1; i <= a.length; i++) {
      const row = [i];
      for (let j = 1; j <= b.length; j++) {
        row[j] = Math.min(old[j] + 1, row[j - 1] + 1, old[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
        if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], older[j - 2] + 1);
      }
      if (Math.min(...row) > most) return most + 1;
      [older, old] = [old, row];
    }
    return old[b.length];
  };

  // The word of the descriptions that a word with a typo means: the most similar one, of these the most frequent.
  const spelled = (typed) => {
    if (typed.length < 4 || /\d/.test(typed)) return null;
    const most = typed.length < 8 ? 1 : 2;
    let best = null;
    words.forEach((word, n) => {
      if (Math.abs(word.length - typed.length) > most || /\d/.test(word)) return;
      const distance = edits(typed, word, most);
      if (distance > most) return;
      const frequency = placesIn(now[n]).length;
      if (!best || distance < best.distance || (distance === best.distance && frequency > best.frequency)) best = { word, distance, frequency };
    });
    return best?.word ?? null;
  };

  const wordsOf = (text) => text.toLowerCase().match(/[0-9]+(?:[.,][0-9]+)+|[a-z0-9]+/g) ?? [];

  const isOf = (place, wanted, day) => {
    if (!wanted) return true;
    return (wanted === "a") === (day ? isValidOn(place, day) : search.statuses[place] === "a");
  };

  // Places that fit all words, best first; `earlier` are those that only an earlier wording brings; `searched` the words
  // without typos.
  const matchesOf = (text, wanted, day) => {
    const searched = [];
    let found = null;
    const earlier = new Set();
    for (const typed of wordsOf(text)) {
      let fitting = fits(typed);
      const other = fitting.size ? null : spelled(typed);
      if (other) fitting = fits(other);
      searched.push(other ?? typed);
      for (const [place, score] of fitting) if (score < 4) earlier.add(place);
      found = found === null ? fitting : new Map([...found].filter(([p]) => fitting.has(p)).map(([p, s]) => [p, s + fitting.get(p)]));
    }
    const places = [...(found ?? new Map())].filter(([place]) => isOf(place, wanted, day));
    const isActive = (place) => (day ? isValidOn(place, day) : search.statuses[place] === "a");
    const rank = ([place, score]) => score - (isActive(place) ? 0 : 0.5);
    places.sort((a, b) => rank(b) - rank(a) || a[0] - b[0]);
    return { places: places.map(([place]) => place), earlier, searched, hasTypo: searched.join(" ") !== wordsOf(text).join(" ") };
  };

  // A code as people write it: with a code set's name before it and modifiers behind it.
  const readCode = (given) => {
    const read = /^(?:HC|HCPCS|CPT|CDT)?[:-]?([A-Z]\d{4}|\d{4}[A-Z0-9]|[A-Z0-9]{2})((?:[-:][A-Z0-9]{2})*)$/i.exec(given);
    return read && { given, code: read[1].toUpperCase(), modifiers: read[2].toUpperCase().split(/[-:]/).filter(Boolean) };
  };

  // The codes of a pasted list, and what else is in it; null for what is no list of codes.
  const listOf = (text) => {
    const tokens = text.split(/[\s,;|"'()[\]]+/).filter(Boolean);
    const read = tokens.map((given) => readCode(given) ?? { given, code: given.toUpperCase(), modifiers: [], isNoCode: true });
    if (tokens.length < 2) return null;
    const procedures = read.filter((one) => !one.isNoCode && !isModifier(one.code)).length;
    const isList = read.some((one) => one.isNoCode) ? procedures > 1 : procedures || read.every((one) => placeOf.has(one.code));
    return isList ? [...new Map(read.map((one) => [one.given.toUpperCase(), one])).values()] : null;
  };

  // Within a shape, codes sort like numbers.
  const shapeOf = (code) => code.replace(/\d/g, "#").replace(/^[A-Z]/, "A");

  // What the format of a code says of it: its code system, section and owner; null where no system has the format.
  const identityOf = (code) => {
    const [kind, shape] = [isModifier(code) ? "modifier" : "procedure", shapeOf(code)];
    const row = systems.intervals.find(([k, s, first, last]) => k === kind && s === shape && first <= code && code <= last);
    if (!row) return null;
    const [name, steward, license, from, to] = systems.systems[row[4]];
    return { name, steward, license, from, to, section: row[5] };
  };

  // Origin and destination of a modifier on ambulance lines, or null.
  const ambulanceOf = (modifier) => {
    const [from, to] = [...modifier].map((letter) => systems.ambulance.find(([l]) => l === letter));
    return isModifier(modifier) && from?.[2] && to?.[3] ? [from[1], to[1]] : null;
  };

  const asked = new Map();
  const load = (name, read = (data) => data) => {
    if (!asked.has(name)) {
      asked.set(name, new Promise((resolve, reject) => {
        const script = el("script", { src: new URL(`${name}.js`, folder) });
        script.onload = () => resolve(read(window.hcpcs[`codes/${name}`]));
        script.onerror = () => { asked.delete(name); reject(new Error(`data/codes/${name}.js is missing`)); };
        document.head.append(script);
      }));
    }
    return asked.get(name);
  };
  // Of each part of a file the rows of each code.
  const byCode = (file) => Object.fromEntries(Object.entries(file).map(([part, table]) => {
    const found = new Map();
    for (const row of rowsOf(table)) found.set(row.of, [...(found.get(row.of) ?? []), row]);
    return [part, found];
  }));
  // The history of a code: its rows by part; null for what no loaded release has.
  const historyOf = async (code) => {
    if (!placeOf.has(code)) return null;
    const parts = await load(isModifier(code) ? "modifiers" : code.slice(0, labels.shard), byCode);
    return Object.fromEntries(labels.parts.map((part) => [part, parts[part]?.get(code) ?? []]));
  };
  // Its wordings, each with its first and last day.
  const textsOf = async (code) => (await load(`texts-${isModifier(code) ? "modifiers" : code[0]}`, byCode)).texts.get(code);

  Object.assign(window.hcpcs, {
    codeSearch: {
      codes, descriptions, episodes, placeOf, withheld, statuses: search.statuses, isModifier, isOf, isValidOn, matchesOf, readCode, listOf,
      identityOf, ambulanceOf, historyOf, textsOf,
    },
  });
})();
