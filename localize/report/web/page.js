"use strict";
// Tables sort by a click on a head, or by Enter or Space there; what has no value stays last.
const key = (row, column) => {
  const text = row.cells[column].dataset.value;
  const value = Number(text);
  return text === "" ? null : Number.isNaN(value) ? text : value;
};
const order = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map((row) => [key(row, column), row]);
    rows.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : (up ? 1 : -1) * order(a, b)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}
// A figure grows by a click, Enter or Space, and shrinks again.
for (const frame of document.querySelectorAll("figure > div")) {
  const grow = () => frame.setAttribute("aria-pressed", String(frame.parentElement.classList.toggle("large")));
  frame.addEventListener("click", grow);
  frame.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    grow();
  });
}
// On paper nothing unfolds.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
