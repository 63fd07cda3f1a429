// The page's address: what is behind the #, so that any server can serve it.

import { store } from "./store";

const read = () => location.hash.replace(/^#\/?/, "");

/** The address without its beginning, such as topic/default/orders/records?partition=1. */
const address = store(read());
addEventListener("hashchange", () => address.set(read()));

/** A part of the address; one that nobody has encoded stays as it is. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function useRoute(): { path: string[]; query: URLSearchParams } {
  const [path, query] = address.use().split("?");
  return { path: path.split("/").map(decoded), query: new URLSearchParams(query) };
}

/** The address of a page, for links. */
export const to = (...path: string[]) => "#/" + path.map(encodeURIComponent).join("/");

export function go(...path: string[]) {
  location.hash = to(...path);
}
