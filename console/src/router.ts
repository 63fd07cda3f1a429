// The page's address: what is behind the #, so that any server can serve it.

import { store } from "./store";

const read = () => decodeURI(location.hash.replace(/^#\/?/, ""));

/** The address without its query, such as topic/default/orders/records. */
const address = store(read());
addEventListener("hashchange", () => address.set(read()));

export function useRoute(): { path: string[]; query: URLSearchParams } {
  const [path, query] = address.use().split("?");
  return { path: path.split("/").map(decodeURIComponent), query: new URLSearchParams(query) };
}

/** The address of a page, for links. */
export const to = (...path: string[]) => "#/" + path.map(encodeURIComponent).join("/");

export function go(...path: string[]) {
  location.hash = to(...path);
}
