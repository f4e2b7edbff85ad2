// How one wording differs from another, word by word. Case, spacing and punctuation make no difference.
"use strict";

(() => {
  const { el } = window.hcpcs;

  // As pipeline/transforms/comparison.py compares: letters, digits, points between digits and < > = % + / count.
  const formOf = (word) => word.toLowerCase().replace(/(?<!\d)\.|\.(?!\d)|[^a-z0-9<>=%+/.]/g, "");

  const wordsOf = (text) => text.split(/\s+/).filter(Boolean);

  // Lengths of the longest common part of what follows, for each pair of places.
  const commonLengths = (a, b) => {
    const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) {
        lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
      }
    }
    return lengths;
  };

  // Runs of [same | removed | added, words], in order; removed words come before those that stand in their place.
  const wordingRuns = (before, after) => {
    const [old, now] = [wordsOf(before), wordsOf(after)];
    const [a, b] = [old.map(formOf), now.map(formOf)];
    const lengths = commonLengths(a, b);
    const runs = [];
    const put = (kind, word) => {
      if (runs.at(-1)?.kind === kind) runs.at(-1).words.push(word);
      else runs.push({ kind, words: [word] });
    };
    let [i, j] = [0, 0];
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) {
        put("same", now[j]);
        i++;
        j++;
      } else if (i < a.length && (j === b.length || lengths[i + 1][j] >= lengths[i][j + 1])) put("removed", old[i++]);
      else put("added", now[j++]);
    }
    return runs;
  };

  const hidden = (text) => el("span", { class: "hidden" }, text);

  // The new wording with what was removed and added marked: by element, by form, and in words for who cannot see it.
  const markedWording = (before, after) => {
    const marked = document.createDocumentFragment();
    for (const { kind, words } of wordingRuns(before ?? "", after ?? "")) {
      const text = words.join(" ");
      if (kind === "same") marked.append(text, " ");
      else if (kind === "removed") marked.append(el("del", {}, hidden("[removed: "), text, hidden("]")), " ");
      else marked.append(el("ins", {}, hidden("[added: "), text, hidden("]")), " ");
    }
    return marked;
  };

  Object.assign(window.hcpcs, { markedWording, wordingRuns });
})();
