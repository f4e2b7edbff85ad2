// How late the newest loaded release is on the day on which the page is opened; CMS's calendar is in the page.
"use strict";

(() => {
  const { several } = window.hcpcs;
  const box = document.getElementById("freshness");
  const today = new Date().toISOString().slice(0, 10);
  const due = box.dataset.due.split(" ");
  const days = (from) => Math.round((Date.parse(today) - Date.parse(from)) / 86_400_000);
  const named = (day) => new Date(`${day}T00:00:00Z`).toLocaleDateString("en-US", { month: "long", year: "numeric", timeZone: "UTC" });
  const late = due.filter((day) => day <= today);
  box.hidden = false;
  if (late.length) {
    const more = late.length > 1 ? ` ${late.length} releases have taken effect since.` : "";
    box.classList.add("late");
    box.textContent = `OVERDUE: CMS’s ${named(late[0])} release took effect ${several(days(late[0]), "day")} ago and is not loaded.${more} Run hcpcs refresh.`;
  } else {
    box.textContent = `Current: the next release, ${named(due[0])}, takes effect in ${-days(due[0])} days.`;
  }
})();
