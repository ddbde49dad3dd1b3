// A list that is put in order by dragging, by Alt with the arrow keys, or by its buttons.
import { html, useEffect, useRef, useState } from "./ui.js";

export function move(list, from, to) {
  if (to < 0 || to >= list.length || from === to) return list;
  const moved = list.toSpliced(from, 1);
  return moved.toSpliced(to, 0, list[from]);
}

// `items`: texts. `onOrder(items)`: after each move or removal. What moved is announced to a screen reader.
export function OrderedList({ items, label, onOrder, describe }) {
  const [dragged, setDragged] = useState(null);
  const [said, setSaid] = useState("");
  const focus = useRef(null);
  const place = useRef(null);
  useEffect(() => {
    if (focus.current === null) return;
    place.current.children[focus.current]?.focus();
    focus.current = null;
  });
  const put = (from, to) => {
    const moved = move(items, from, to);
    if (moved === items) return;
    focus.current = to;
    setSaid(`${items[from]} is now number ${to + 1} of ${items.length}`);
    onOrder(moved);
  };
  return html`<p class="hint" id="order-hint">Drag, or press Alt with the up and down keys.</p>
    <ol class="ordered" ref=${place} aria-label=${label}>
      ${items.map(
        (one, at) =>
          html`<li
            key=${one}
            tabindex="0"
            draggable=${true}
            aria-describedby="order-hint"
            class=${dragged === at ? "dragged" : ""}
            onDragStart=${(event) => {
              setDragged(at);
              event.dataTransfer.effectAllowed = "move";
              event.dataTransfer.setData("text/plain", one);
            }}
            onDragOver=${(event) => event.preventDefault()}
            onDragEnd=${() => setDragged(null)}
            onDrop=${(event) => {
              event.preventDefault();
              if (dragged !== null) put(dragged, at);
              setDragged(null);
            }}
            onKeyDown=${(event) => {
              if (!event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
              event.preventDefault();
              put(at, at + (event.key === "ArrowUp" ? -1 : 1));
            }}
          >
            <span class="grip" aria-hidden="true">⠿</span
            ><span class="wrap">${one}<span class="quiet"> ${describe?.(one) || ""}</span></span>
            <span class="actions"
              ><button type="button" aria-label="Move ${one} up" disabled=${at === 0} onClick=${() => put(at, at - 1)}>
                ↑
              </button>
              <button
                type="button"
                aria-label="Move ${one} down"
                disabled=${at === items.length - 1}
                onClick=${() => put(at, at + 1)}
              >
                ↓
              </button>
              <button
                type="button"
                aria-label="Remove ${one}"
                onClick=${() => onOrder(items.filter((other) => other !== one))}
              >
                ✕
              </button></span
            >
          </li>`,
      )}
    </ol>
    <p class="unseen" role="status">${said}</p>`;
}
