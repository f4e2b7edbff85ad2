// A code's plain page: what it was on a day, out of the rows of its table.
"use strict";

(() => {
  const form = document.createElement("form");
  form.className = "filters";
  form.innerHTML = '<label><span>On this day</span><input id="day" type="date" min="1980-01-01" max="2099-12-31"></label>';
  const answer = document.createElement("p");
  answer.id = "answer";
  answer.setAttribute("role", "status");
  document.querySelector("h2").before(form, answer);
  const field = form.querySelector("input");
  const rows = [...document.querySelectorAll(".days-table tbody tr")];
  const textOf = (cell) => cell.textContent.trim().replace("–", "");
  const isOn = (row, day) => textOf(row.cells[0]) <= day && day <= (textOf(row.cells[1]) || "9999-12-31");
  const tell = () => {
    const day = field.value;
    const row = day ? rows.find((one) => isOn(one, day)) : null;
    rows.forEach((one) => one.classList.toggle("chosen", one === row));
    // What no row covers is before the first of them.
    const [status, text] = row ? [row.cells[2], row.cells[4]].map(textOf) : ["not yet in effect", ""];
    answer.textContent = day ? `On ${day}: ${status}${text && `: ${text}`}.` : "";
  };
  field.addEventListener("input", tell);
  form.addEventListener("submit", (event) => event.preventDefault());
  tell();
})();
