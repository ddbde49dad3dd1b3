// A table of any length: only the rows in sight are in the document. All rows have one height.
import { html, useState, useEffect, useRef } from "./ui.js";

const AROUND = 8;

// `columns`: [{ title, of(row), width, number }], widths as in CSS grids. `label`: what the table is called.
// `rowKey(row)`: what tells rows apart.
export function VirtualTable({ rows, columns, label, rowKey, rowHeight = 30, empty }) {
  const place = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  useEffect(() => {
    const box = place.current;
    const measure = () => setView({ top: box.scrollTop, height: box.clientHeight });
    const watch = new ResizeObserver(measure);
    watch.observe(box);
    box.addEventListener("scroll", measure, { passive: true });
    return () => {
      watch.disconnect();
      box.removeEventListener("scroll", measure);
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - AROUND);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / rowHeight) + AROUND);
  const grid = columns.map((one) => one.width || "minmax(6rem, 1fr)").join(" ");
  return html`<div
    class="rows"
    ref=${place}
    role="table"
    aria-label=${label}
    aria-rowcount=${rows.length + 1}
    tabindex="0"
  >
    <div class="row head" role="row" aria-rowindex="1" style=${{ gridTemplateColumns: grid }}>
      ${columns.map((one) => html`<span role="columnheader" class=${one.number ? "number" : ""}>${one.title}</span>`)}
    </div>
    ${
      rows.length === 0
        ? html`<div role="row"><div role="cell" class="empty pad">${empty}</div></div>`
        : html` <div role="rowgroup" class="all" style=${{ height: `${rows.length * rowHeight}px` }}>
            ${rows
              .slice(first, last)
              .map(
                (row, number) =>
                  html`<div
                    key=${rowKey(row)}
                    class="row"
                    role="row"
                    aria-rowindex=${first + number + 2}
                    style=${{ gridTemplateColumns: grid, height: `${rowHeight}px`, transform: `translateY(${(first + number) * rowHeight}px)` }}
                  >
                    ${columns.map((one) => html`<span role="cell" class=${one.number ? "number" : ""}>${one.of(row)}</span>`)}
                  </div>`,
              )}
          </div>`
    }
  </div>`;
}
