// A click on the head of a column sorts the table: numbers from the largest, text from A, and the other way round with
// the next click. Cells without a number stay at the end.
"use strict";

function key(row, column) {
  const cell = row.cells[column];
  const value = cell.dataset.value;
  if (value === undefined) return cell.textContent;
  return value === "" ? null : Number(value);
}

function order(a, b, ascending) {
  if (a === null || b === null) return (a === null) - (b === null);
  const up = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  return ascending ? up : -up;
}

function sort(body, heads, column) {
  const rows = [...body.rows];
  const before = heads[column].getAttribute("aria-sort");
  const ascending = before ? before === "descending" : typeof key(rows[0], column) === "string";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", ascending ? "ascending" : "descending");
  rows.sort((a, b) => order(key(a, column), key(b, column), ascending));
  body.append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table.tBodies[0], heads, column));
    head.append(button);
  });
}
