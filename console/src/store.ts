// A value that components follow, and a value that is asked for again and again.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

export interface Store<T> {
  get(): T;
  set(value: T): void;
  /** In a component: the value, and a new rendering whenever it changes. */
  use(): T;
}

export function store<T>(value: T): Store<T> {
  const followers = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (next === value) return;
      value = next;
      for (const f of [...followers]) f();
    },
    use() {
      const [, render] = useState({});
      useEffect(() => {
        const follow = () => render({});
        followers.add(follow);
        follow();
        return () => void followers.delete(follow);
      }, []);
      return value;
    },
  };
}

export interface Polled<T> {
  data?: T;
  error?: Error;
  /** Asks again at once. */
  reload(): void;
}

/**
 * Asks for something now and every so many milliseconds, not while the page is
 * hidden. After an error the last value stays, beside the error. What ask depends on
 * stands in inputs; another input begins anew.
 */
export function usePoll<T>(ask: (signal: AbortSignal) => Promise<T>, every: number, inputs: unknown[]): Polled<T> {
  const [state, setState] = useState<{ data?: T; error?: Error }>({});
  const kick = useRef<() => void>(() => {});
  useEffect(() => {
    const control = new AbortController();
    let timer = 0;
    let busy = false;
    let again = false;
    setState({});
    const run = async () => {
      clearTimeout(timer);
      if (busy) {
        again = true;
        return;
      }
      busy = true;
      try {
        const data = await ask(control.signal);
        if (!control.signal.aborted) setState({ data });
      } catch (e) {
        if (!control.signal.aborted) setState((old) => ({ data: old.data, error: e as Error }));
      }
      busy = false;
      if (control.signal.aborted) return;
      if (again) {
        again = false;
        void run();
      } else if (!document.hidden) {
        timer = window.setTimeout(run, every);
      }
    };
    const shown = () => void (document.hidden ? clearTimeout(timer) : run());
    document.addEventListener("visibilitychange", shown);
    kick.current = () => void run();
    void run();
    return () => {
      control.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, inputs);
  const reload = useCallback(() => kick.current(), []);
  return { ...state, reload };
}

/** A setting that this browser remembers. */
export function remembered(key: string, fallback: string): Store<string> {
  let first = fallback;
  try {
    first = localStorage.getItem(key) ?? fallback;
  } catch {
    // Storage is switched off: it is forgotten with the page.
  }
  const s = store(first);
  return {
    ...s,
    set(value) {
      s.set(value);
      try {
        localStorage.setItem(key, value);
      } catch {
        // As above.
      }
    },
  };
}
