// A code's plain page: what it was on a day, out of the rows of its table.
"use strict";

(() => {
  const [form, field, answer] = ["day-form", "day", "answer"].map((id) => document.getElementById(id));
  const rows = [...document.querySelectorAll("tr[data-from]")];
  const tell = () => {
    const day = field.value;
    const row = day ? rows.find((one) => one.dataset.from <= day && day <= one.dataset.to) : null;
    rows.forEach((one) => one.classList.toggle("chosen", one === row));
    if (!row) {
      answer.textContent = "";
      return;
    }
    const [, , status, , text] = [...row.cells].map((cell) => cell.textContent.trim());
    answer.textContent = `On ${day}: ${status}${text === "–" ? "" : `: ${text}`}.`;
  };
  field.addEventListener("input", tell);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  tell();
})();
