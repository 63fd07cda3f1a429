// A list of very many rows, of which only those in sight exist.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

export function VirtualList(p: {
  count: number;
  rowHeight: number;
  row: (index: number) => ComponentChildren;
  /** The heading, which stays on top. */
  head?: ComponentChildren;
  label: string;
  /** Keeps the end in sight, as long as the reader does not scroll away from it. */
  follow?: boolean;
  onFollow?: (follows: boolean) => void;
  /** Whose change goes back to the beginning. */
  of?: unknown;
  class?: string;
}) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const own = useRef(false); // the next scroll is ours
  const measure = () => {
    const b = box.current;
    if (b) setView((v) => (v.top === b.scrollTop && v.height === b.clientHeight ? v : { top: b.scrollTop, height: b.clientHeight }));
  };
  useLayoutEffect(() => {
    const watch = new ResizeObserver(measure);
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);
  useLayoutEffect(() => {
    box.current!.scrollTop = 0;
    measure();
  }, [p.of]);
  useLayoutEffect(() => {
    const b = box.current!;
    if (p.follow && b.scrollTop + b.clientHeight < b.scrollHeight - 1) {
      own.current = true;
      b.scrollTop = b.scrollHeight;
      measure();
    }
  });
  const scrolled = () => {
    const b = box.current;
    if (!b) return;
    measure();
    const atEnd = b.scrollTop + b.clientHeight >= b.scrollHeight - p.rowHeight;
    if (own.current) own.current = false;
    else p.onFollow?.(atEnd);
  };
  const first = Math.max(0, Math.floor(view.top / p.rowHeight) - 6);
  const last = Math.min(p.count, Math.ceil((view.top + view.height) / p.rowHeight) + 6);
  const rows: ComponentChildren[] = [];
  for (let i = first; i < last; i++) rows.push(p.row(i));
  return (
    <div class={"virtual " + (p.class ?? "")} ref={box} onScroll={scrolled} role="grid" aria-label={p.label} aria-rowcount={p.count} tabIndex={0} style={{ maxHeight: p.count * p.rowHeight + 36 }}>
      {p.head}
      <div class="virtual-space" style={{ height: p.count * p.rowHeight }}>
        <div class="virtual-rows" style={{ transform: `translateY(${first * p.rowHeight}px)` }}>
          {rows}
        </div>
      </div>
    </div>
  );
}
