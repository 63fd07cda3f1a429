// What a live tail has received. Records come by the thousand; the page is drawn once
// a frame at most, and what is kept is bounded.

import { type Predicate } from "../filter";
import { parseRecord, type Rec } from "../rawjson";
import { follow } from "../stream";

/** How many records are kept; older ones go. */
export const kept = 5000;
/** How many lines may wait for a frame; older ones are skipped. */
const maxWaiting = 20_000;
/** How long a frame may work on lines, in milliseconds. */
const frameBudget = 6;

export class Tail {
  state: "connecting" | "live" | "lost" = "connecting";
  error?: Error;
  paused = false;
  seen = 0;
  skipped = 0;
  gaps = 0;
  rate = 0;
  /** Records that came since the pause. */
  waiting = 0;
  /** What is shown; another array whenever it changes. */
  shown: readonly Rec[] = [];
  filter: Predicate = () => true;

  private all: Rec[] = []; // whatever the filter says
  private lines: string[] = [];
  private begin = 0; // of the lines that are not read yet
  private frame = 0;
  private readonly control = new AbortController();
  private readonly ticker: number;
  private counted = 0;

  constructor(topic: string, query: Record<string, string>, private readonly changed: () => void) {
    void follow(
      topic,
      query,
      {
        lines: (lines) => this.take(lines),
        gap: (gap) => {
          this.gaps += gap.earliest - gap.asked;
          this.draw();
        },
        state: (state, error) => {
          this.state = state;
          this.error = error;
          this.draw();
        },
      },
      this.control.signal,
    );
    this.ticker = window.setInterval(() => {
      const rate = this.seen - this.counted;
      this.counted = this.seen;
      if (rate === 0 && this.rate === 0) return;
      this.rate = rate;
      this.draw();
    }, 1000);
  }

  end() {
    this.control.abort();
    clearInterval(this.ticker);
    cancelAnimationFrame(this.frame);
  }

  pause(paused: boolean) {
    if (paused === this.paused) return;
    this.paused = paused;
    if (!paused) this.refilter();
    this.waiting = 0;
    this.draw();
  }

  setFilter(filter: Predicate) {
    this.filter = filter;
    this.refilter();
    this.draw();
  }

  clear() {
    this.all = [];
    this.shown = [];
    this.waiting = 0;
    this.draw();
  }

  private refilter() {
    this.shown = this.all.filter((r) => this.filter(r));
  }

  private take(lines: string[]) {
    this.seen += lines.length;
    if (this.begin > 0) {
      this.lines.splice(0, this.begin);
      this.begin = 0;
    }
    for (const line of lines) this.lines.push(line);
    const over = this.lines.length - maxWaiting;
    if (over > 0) {
      this.skipped += over;
      this.lines.splice(0, over);
    }
    this.draw();
  }

  private draw() {
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.work());
  }

  /** One frame: reads lines for as long as it may, then has the page drawn. */
  private work() {
    this.frame = 0;
    const until = performance.now() + frameBudget;
    const passed: Rec[] = [];
    let read = 0;
    while (this.begin < this.lines.length) {
      const r = parseRecord(this.lines[this.begin++]);
      this.all.push(r);
      read++;
      if (this.filter(r)) passed.push(r);
      if (read % 64 === 0 && performance.now() > until) break;
    }
    if (this.all.length > kept * 1.2) this.all.splice(0, this.all.length - kept);
    if (this.paused) this.waiting += passed.length;
    else if (passed.length > 0) {
      const shown = this.shown.concat(passed);
      this.shown = shown.length > kept ? shown.slice(-kept) : shown;
    }
    if (this.begin < this.lines.length) this.draw();
    else {
      this.lines = [];
      this.begin = 0;
    }
    this.changed();
  }
}

