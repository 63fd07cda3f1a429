// Light or dark: as the system says, unless somebody has chosen.

import { remembered, store } from "./store";

const chosen = remembered("ottla-theme", "");
const system = matchMedia("(prefers-color-scheme: dark)");

const current = () => (chosen.get() || (system.matches ? "dark" : "light")) as "light" | "dark";

export const theme = store(current());

function apply() {
  document.documentElement.dataset.theme = current();
  theme.set(current());
}

system.addEventListener("change", apply);
apply();

export function toggleTheme() {
  const next = current() === "dark" ? "light" : "dark";
  chosen.set(next === (system.matches ? "dark" : "light") ? "" : next);
  apply();
}
