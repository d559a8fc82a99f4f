/** Who is signed in. The login itself is a cookie that no script can read; nothing is kept in storage. */
import { useSyncExternalStore } from "react";
import type { Me } from "./api/types";

export type Session =
  | { is: "checking" }
  | { is: "out"; failed: string }
  | { is: "in"; me: Me }
  | { is: "unreachable"; failed: string };

let session: Session = { is: "checking" };
const listeners = new Set<() => void>();

export function setSession(next: Session): void {
  session = next;
  for (const listener of listeners) listener();
}

export function signedOut(failed = ""): void {
  if (session.is !== "out" || failed) setSession({ is: "out", failed });
}

export function currentSession(): Session {
  return session;
}

export function subscribeSession(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useSession(): Session {
  return useSyncExternalStore(subscribeSession, currentSession);
}

/** Whether who is signed in may do that. The server refuses it anyway; a button that can only fail is not shown. */
export function useMay(verb: Me["verbs"][number]): boolean {
  const now = useSession();
  return now.is === "in" && now.me.verbs.includes(verb);
}

/** An address of `//host` would be another site's to everything that takes it as one; here it is a page. */
export function straightenAddress(): void {
  const { pathname, search, hash } = window.location;
  if (/^\/[/\\]/.test(pathname)) show(pathname.replace(/^[/\\]+/, "/") + search + hash);
}

function show(path: string): void {
  history.replaceState(history.state, "", window.location.origin + path);
}

/** The code in `#login=CODE`, taken out of the address and of the history at once. */
export function takeCode(): string | null {
  const found = /^#login=(.+)$/.exec(window.location.hash);
  if (!found) return null;
  show(window.location.pathname + window.location.search);
  try {
    return decodeURIComponent(found[1]!);
  } catch {
    return found[1]!;
  }
}
