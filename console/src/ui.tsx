// Pieces that all pages are made of.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError, call, curl, type Request } from "./api";
import { store } from "./store";

export function Icon({ name }: { name: keyof typeof icons }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={icons[name]} />
    </svg>
  );
}

// Strokes on a grid of 16.
const icons = {
  overview: "M2.5 13.5v-4M6.2 13.5v-8M9.8 13.5v-6M13.5 13.5v-11",
  topics: "M2.5 4h11M2.5 8h7.5M2.5 12h9.5",
  groups: "M6 7a2.2 2.2 0 1 0 0-4.4A2.2 2.2 0 0 0 6 7ZM1.8 13.4c0-2.4 1.9-4 4.2-4s4.2 1.6 4.2 4M10.6 2.9a2.1 2.1 0 0 1 0 4M12 9.8c1.4.5 2.3 1.8 2.3 3.6",
  brokers: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
  tokens: "M9.8 2.4a3.8 3.8 0 1 1-2.9 6.3L5 10.6H3.4v1.6H2V10l3.9-3.9a3.8 3.8 0 0 1 3.9-3.7ZM10.8 5.2h.01",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  close: "m4 4 8 8M12 4l-8 8",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6ZM8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.8.8M11.8 11.8l.8.8M12.6 3.4l-.8.8M4.2 11.8l-.8.8",
  moon: "M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8Z",
  check: "m3 8.5 3.2 3.2L13 5",
  warning: "M8 2.2 14.4 13H1.6ZM8 6.2v3.2M8 11.3h.01",
  error: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 4.8v4M8 11.2h.01",
  out: "M6.5 2.5h-4v11h4M6 8h8M11 5l3 3-3 3",
};

export function Button(p: {
  children: ComponentChildren;
  onClick?: () => void;
  kind?: "primary" | "danger" | "plain";
  type?: "button" | "submit";
  disabled?: boolean;
  pressed?: boolean;
  title?: string;
  label?: string;
}) {
  return (
    <button
      type={p.type ?? "button"}
      class={"button " + (p.kind ?? "")}
      disabled={p.disabled}
      aria-pressed={p.pressed}
      aria-label={p.label}
      title={p.title}
      onClick={p.onClick}
    >
      {p.children}
    </button>
  );
}

/** What has just been done, for a few seconds. */
const said = store<{ text: string; number: number } | undefined>(undefined);

let saidCount = 0;

export function say(text: string) {
  const number = ++saidCount;
  said.set({ text, number });
  setTimeout(() => said.get()?.number === number && said.set(undefined), 4000);
}

export function Said() {
  const now = said.use();
  return (
    <div class="said" role="status" aria-live="polite">
      {now && <p key={now.number}>{now.text}</p>}
    </div>
  );
}

export async function copy(text: string) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure context there is no clipboard, but the old way works.
    const area = document.createElement("textarea");
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say("Copied");
}

/** The same request as a command line, to be copied. */
export function Curl({ request, label = "The same with curl" }: { request: Request; label?: string }) {
  const text = curl(request);
  return (
    <div class="curl">
      <code tabIndex={0} aria-label={label}>
        {text}
      </code>
      <Button kind="plain" label="Copy the curl command" title="Copy" onClick={() => copy(text)}>
        <Icon name="copy" />
      </Button>
    </div>
  );
}

export function Failure({ error, again }: { error: Error; again?: () => void }) {
  const e = error instanceof ApiError ? error : undefined;
  return (
    <div class="notice error" role="alert">
      <Icon name="error" />
      <div>
        <p>{sentence(error.message)}</p>
        {e && e.status > 0 && (
          <p class="small">
            {e.code}
            {e.requestId && `, request ${e.requestId}`}
            {e.outcome === "unknown" && ". It may or may not have happened."}
          </p>
        )}
      </div>
      {again && <Button onClick={again}>Try again</Button>}
    </div>
  );
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.?!]$/.test(text) ? "" : ".");

/** What a page has while it has no data yet: the error, or that it loads. */
export function Waiting({ error, again }: { error?: Error; again?: () => void }) {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 300);
    return () => clearTimeout(timer);
  }, []);
  if (error) return <Failure error={error} again={again} />;
  return <p class="waiting">{late && "Loading …"}</p>;
}

/** Above data that could not be renewed. */
export function Stale({ error }: { error?: Error }) {
  if (!error) return null;
  return (
    <div class="notice warning" role="alert">
      <Icon name="warning" />
      <p>{sentence(error.message)} What is shown is older.</p>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="title">{title}</p>
      {children}
    </div>
  );
}

export function Panel(p: { title?: ComponentChildren; tools?: ComponentChildren; children: ComponentChildren; flush?: boolean }) {
  return (
    <section class={"panel" + (p.flush ? " flush" : "")}>
      {(p.title || p.tools) && (
        <header>
          <h2>{p.title}</h2>
          <div class="tools">{p.tools}</div>
        </header>
      )}
      {p.children}
    </section>
  );
}

export function PageHead(p: { title: ComponentChildren; children?: ComponentChildren; sub?: ComponentChildren }) {
  return (
    <header class="page-head">
      <div>
        <h1>{p.title}</h1>
        {p.sub && <p class="sub">{p.sub}</p>}
      </div>
      <div class="tools">{p.children}</div>
    </header>
  );
}

export function Badge({ kind, children }: { kind: "ok" | "warning" | "error" | "plain"; children: ComponentChildren }) {
  return <span class={"badge " + kind}>{children}</span>;
}

export function Field(p: { label: string; hint?: ComponentChildren; error?: string; children: (id: string) => ComponentChildren }) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{p.label}</label>
      {p.children(id)}
      {p.error ? (
        <p class="wrong" role="alert">
          {p.error}
        </p>
      ) : (
        p.hint && <p class="hint">{p.hint}</p>
      )}
    </div>
  );
}

export function Input(p: {
  label: string;
  value: string;
  set: (value: string) => void;
  hint?: ComponentChildren;
  error?: string;
  placeholder?: string;
  mono?: boolean;
  type?: string;
  focus?: boolean;
  disabled?: boolean;
}) {
  return (
    <Field label={p.label} hint={p.hint} error={p.error}>
      {(id) => (
        <input
          id={id}
          type={p.type ?? "text"}
          class={p.mono ? "mono" : ""}
          value={p.value}
          placeholder={p.placeholder}
          autocomplete="off"
          spellcheck={false}
          autofocus={p.focus}
          disabled={p.disabled}
          aria-invalid={p.error ? true : undefined}
          onInput={(e) => p.set(e.currentTarget.value)}
        />
      )}
    </Field>
  );
}

export function Select(p: { label: string; value: string; set: (value: string) => void; options: [value: string, text: string][]; hint?: ComponentChildren }) {
  return (
    <Field label={p.label} hint={p.hint}>
      {(id) => (
        <select id={id} value={p.value} onChange={(e) => p.set(e.currentTarget.value)}>
          {p.options.map(([value, text]) => (
            <option key={value} value={value} selected={value === p.value}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** A filter above a list; "/" goes there. */
export function Search(p: { value: string; set: (value: string) => void; label: string }) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const key = (e: KeyboardEvent) => {
      if (e.key !== "/" || e.ctrlKey || e.metaKey || /INPUT|TEXTAREA|SELECT/.test((e.target as Element).tagName) || document.querySelector("dialog[open]")) return;
      e.preventDefault();
      input.current?.focus();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);
  return (
    <input ref={input} class="search" type="search" placeholder={p.label} aria-label={p.label} value={p.value} autocomplete="off" spellcheck={false} onInput={(e) => p.set(e.currentTarget.value)} />
  );
}

/** A dialog over the page; it closes with Escape, as dialogs do. */
export function Dialog(p: { title: string; close: () => void; children: ComponentChildren; wide?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null);
  const title = useId();
  useLayoutEffect(() => {
    const from = document.activeElement as HTMLElement | null;
    ref.current!.showModal();
    if (!ref.current!.querySelector("[autofocus]")) ref.current!.focus(); // else the button that closes it has it
    return () => from?.focus();
  }, []);
  return (
    <dialog
      ref={ref}
      tabIndex={-1}
      class={p.wide ? "wide" : ""}
      aria-labelledby={title}
      onCancel={(e) => (e.preventDefault(), p.close())}
      onMouseDown={(e) => e.target === ref.current && p.close()}
    >
      <div class="dialog">
        <header>
          <h2 id={title}>{p.title}</h2>
          <Button kind="plain" label="Close" onClick={p.close}>
            <Icon name="close" />
          </Button>
        </header>
        {p.children}
      </div>
    </dialog>
  );
}

/**
 * A dialog that sends one request, and shows it as a command line. With confirm, that
 * text has to be typed first.
 */
export function Action<T>(p: {
  title: string;
  verb: string;
  danger?: boolean;
  wide?: boolean;
  confirm?: string;
  request: Request | undefined;
  done: (answer: T) => void;
  close: () => void;
  children?: ComponentChildren;
}) {
  const [typed, setTyped] = useState("");
  const [error, setError] = useState<Error>();
  const [busy, setBusy] = useState(false);
  const ready = p.request !== undefined && !busy && (p.confirm === undefined || typed === p.confirm);
  const submit = async (e: Event) => {
    e.preventDefault();
    if (!ready) return;
    setBusy(true);
    setError(undefined);
    try {
      p.done(await call<T>(p.request!));
    } catch (e) {
      setError(e as Error);
      setBusy(false);
    }
  };
  return (
    <Dialog title={p.title} close={p.close} wide={p.wide}>
      <form onSubmit={submit}>
        <div class="dialog-body">
          {p.children}
          {p.confirm !== undefined && (
            <Input label={`Type ${p.confirm} to confirm`} value={typed} set={setTyped} mono focus />
          )}
          {error && <Failure error={error} />}
          {p.request && <Curl request={p.request} />}
        </div>
        <footer>
          <Button onClick={p.close}>Cancel</Button>
          <Button type="submit" kind={p.danger ? "danger" : "primary"} disabled={!ready}>
            {busy ? "Working …" : p.verb}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

export function Tabs({ tabs, now }: { tabs: [href: string, text: string][]; now: number }) {
  return (
    <nav class="tabs" aria-label="Parts of this page">
      {tabs.map(([href, text], i) => (
        <a key={href} href={href} aria-current={i === now ? "page" : undefined}>
          {text}
        </a>
      ))}
    </nav>
  );
}
