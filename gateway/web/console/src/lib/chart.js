// Bars of money by time, drawn by uPlot in the colours of the stylesheet. The table beside it says the same in words.
import uPlot from "uplot";
import { html, useEffect, useRef } from "./ui.js";

const HEIGHT = 180;

export function Bars({ times, values, label, format }) {
  const place = useRef(null);
  useEffect(() => {
    const box = place.current;
    const style = getComputedStyle(document.documentElement);
    const probe = (name) => {
      box.style.color = `var(${name})`;
      return getComputedStyle(box).color;
    };
    const [ink, line, accent] = [probe("--quiet"), probe("--line"), probe("--accent")];
    box.style.color = "";
    const axis = {
      stroke: ink,
      grid: { stroke: line, width: 1 },
      ticks: { stroke: line },
      font: `12px ${style.fontFamily}`,
    };
    const chart = new uPlot(
      {
        width: box.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false },
        scales: {
          x: { range: (_, from, to) => [from - (to - from || 86400) * 0.02, to + (to - from || 86400) * 0.02] },
          y: { range: (_, __, most) => [0, most || 1] },
        },
        axes: [axis, { ...axis, size: 90, values: (_, ticks) => ticks.map(format) }],
        series: [
          {},
          {
            width: 0,
            stroke: accent,
            fill: accent,
            paths: uPlot.paths.bars({ size: [0.7, 60] }),
            points: { show: false },
          },
        ],
      },
      [times, values],
      box,
    );
    const watch = new ResizeObserver(() => chart.setSize({ width: box.clientWidth, height: HEIGHT }));
    watch.observe(box);
    return () => {
      watch.disconnect();
      chart.destroy();
    };
  }, [times, values]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${label}></div>`;
}
