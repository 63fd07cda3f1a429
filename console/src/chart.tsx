// Curves over time, drawn by uPlot in the colours of the style sheet.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { theme } from "./theme";

export interface Curve {
  label: string;
  /** Names a colour of the style sheet: --curve-N. */
  colour: 1 | 2 | 3;
  values: (number | null)[];
}

/** Steps of an axis of bytes. */
export const byteSteps = Array.from({ length: 50 }, (_, i) => 2 ** i);

/** Steps of an axis of things that are not divided. */
export const wholeSteps = Array.from({ length: 15 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();

/** Times of day, with seconds where minutes would repeat. */
const clockTicks: uPlot.Axis.DynamicValues = (_, ticks, __, ___, step) =>
  ticks.map((t) => new Date(t * 1000).toTimeString().slice(0, step < 60 ? 8 : 5));

export function Chart(p: { times: number[]; curves: Curve[]; height?: number; format: (n: number) => string; label: string; span?: number; steps?: number[] }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const latest = useRef(p);
  latest.current = p;
  const now = theme.use();
  const height = p.height ?? 160;
  const names = p.curves.map((c) => c.label).join();
  useEffect(() => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis: uPlot.Axis = {
      stroke: colour("--muted"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      font: "11px " + style.getPropertyValue("--sans"),
    };
    plot.current = new uPlot(
      {
        width: box.current!.clientWidth || 300,
        height,
        legend: { show: false },
        cursor: { y: false, points: { size: 6 } },
        scales: { x: { range: (_, min, max) => (latest.current.span ? [max - latest.current.span, max] : [min, Math.max(max, min + 60)]) }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
        axes: [
          { ...axis, space: 60, values: clockTicks, size: 28 },
          { ...axis, size: 58, space: 36, incrs: p.steps, values: (_, ticks) => ticks.map((t) => (t === null ? "" : p.format(t))) },
        ],
        series: [
          {},
          ...p.curves.map((c) => ({
            label: c.label,
            stroke: colour(`--curve-${c.colour}`),
            fill: colour(`--curve-${c.colour}-fill`),
            width: 1.5,
            points: { show: p.times.length < 2 },
          })),
        ],
        hooks: { setCursor: [(u) => show(u.cursor.idx ?? null)] },
      },
      [p.times, ...p.curves.map((c) => c.values)] as uPlot.AlignedData,
      box.current!,
    );
    const watch = new ResizeObserver(() => plot.current!.setSize({ width: box.current!.clientWidth, height }));
    watch.observe(box.current!);
    return () => {
      watch.disconnect();
      plot.current!.destroy();
      plot.current = undefined;
    };
  }, [names, now, height]);
  useEffect(() => plot.current?.setData([p.times, ...p.curves.map((c) => c.values)] as uPlot.AlignedData), [p.times, p.curves]);

  // The legend shows what is under the pointer, else the last values.
  const legend = useRef<HTMLUListElement>(null);
  const show = (index: number | null) => {
    const { curves, times, format } = latest.current;
    const at = index ?? times.length - 1;
    legend.current?.querySelectorAll("b").forEach((b, i) => {
      const v = curves[i]?.values[at];
      b.textContent = v == null ? "–" : format(v);
    });
  };
  useEffect(() => show(null));
  return (
    <figure class="chart" aria-label={p.label}>
      <ul class="legend" ref={legend}>
        {p.curves.map((c) => (
          <li key={c.label}>
            <i class={`swatch curve-${c.colour}`} /> {c.label} <b />
          </li>
        ))}
      </ul>
      <div ref={box} />
    </figure>
  );
}
