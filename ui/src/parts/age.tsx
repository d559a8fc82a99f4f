import { useSyncExternalStore } from "react";
import { span } from "../live/text";
import { Store } from "../live/store";

/** One clock for all ages on the page, so that a thousand of them cost one timer. */
const now = new Store(Date.now());
let timer: ReturnType<typeof setInterval> | undefined;
let watchers = 0;

function subscribe(listener: () => void): () => void {
  if (watchers++ === 0) timer = setInterval(() => document.hidden || now.set(Date.now()), 5_000);
  const stop = now.subscribe(listener);
  return () => {
    stop();
    if (--watchers === 0) clearInterval(timer);
  };
}

export function Age({ of }: { of: string | number }) {
  const then = typeof of === "number" ? of : Date.parse(of);
  // The span, not the moment, is the snapshot: rows whose words stay are not drawn again.
  const words = useSyncExternalStore(subscribe, () => span((Math.max(now.get(), then) - then) / 1000));
  return <time dateTime={new Date(then).toISOString()}>{words}</time>;
}
