/** The stream of this tab, joined to the browser. */
import { useEffect, useRef, useSyncExternalStore } from "react";
import { api, got } from "../api/client";
import { signedOut } from "../session";
import { type Connection, type Socket, Stream, type Subscription } from "./stream";

export const stream = new Stream({
  connect: () => new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/api/v1/stream`) as Socket,
  cursor: async () => (await got(api.GET("/api/v1/status"))).cursor,
  signedOut: () => signedOut("the login of this browser has ended"),
  probe: () => void api.GET("/api/v1/me").catch(() => undefined),
  now: () => performance.now(),
  random: Math.random,
});

document.addEventListener("visibilitychange", () => stream.visible(!document.hidden));
window.addEventListener("online", () => stream.wake());

export function useConnection(): Connection {
  return useSyncExternalStore(stream.onConnection, stream.connection);
}

/** Follow while shown; a new subscription for every new `key`. */
export function useStream(key: string, subscription: Subscription): void {
  const latest = useRef(subscription);
  latest.current = subscription;
  useEffect(() => {
    const { topics, types, partial } = latest.current;
    return stream.follow({
      topics,
      ...(types && { types }),
      ...(partial !== undefined && { partial }),
      events: (events, cursor) => latest.current.events(events, cursor),
      piece: (piece) => latest.current.piece?.(piece),
      resync: () => latest.current.resync(),
    });
  }, [key]);
}
