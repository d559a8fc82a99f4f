/**
 * One WebSocket per tab. It begins at a cursor, comes back with the last one it saw (so nothing is missed and
 * nothing told twice), sleeps while the tab is hidden, and starts afresh when the server has forgotten the place.
 */
import type { Piece, Recorded } from "../api/types";

export interface Subscription {
  topics: readonly string[];
  /** Only events of these types; none: of all. */
  types?: readonly string[];
  /** Also text while it is being said; topics must name a task or run then. */
  partial?: boolean;
  /** Consecutive events, and the cursor behind the last of them. */
  events(events: Recorded[], cursor: string): void;
  piece?(piece: Piece): void;
  /** What is shown may have a gap: load it again, from `place()`. */
  resync(): void;
}

export type Connection =
  | { is: "idle" }
  | { is: "live" }
  /** `lostAt`: when it was last live (ms), null if never. */
  | { is: "connecting"; lostAt: number | null };

/** What of a browser's WebSocket is used. */
export interface Socket {
  onopen: (() => void) | null;
  onmessage: ((message: { data: unknown }) => void) | null;
  onclose: ((closed: { code: number }) => void) | null;
  send(text: string): void;
  close(): void;
}

export interface Outside {
  connect(): Socket;
  /** The end of the log, by REST. */
  cursor(): Promise<string>;
  /** The login has become void. */
  signedOut(): void;
  /** Called after a handshake that failed: is it the login? A refused handshake does not say why. */
  probe(): void;
  now(): number;
  random(): number;
}

export const FIRST_PAUSE_MS = 250;
export const LONGEST_PAUSE_MS = 15_000;
export const HIDDEN_MS = 30_000;
/** The server says something every 15 s. */
export const SILENCE_MS = 40_000;
/** A cursor nobody has moved for so long would bring more than it is worth. */
export const OLD_CURSOR_MS = 60_000;

const VOID = 4401;
const WRONG = 4400;
const EXPIRED = 4410;

export class Stream {
  private readonly outside: Outside;
  private subscription: Subscription | null = null;
  private socket: Socket | null = null;
  private lastCursor: string | null = null;
  private movedAt = 0;
  private asking: Promise<string> | null = null;
  private attempts = 0;
  private pause: ReturnType<typeof setTimeout> | undefined;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private sleeping: ReturnType<typeof setTimeout> | undefined;
  private asleep = false;
  private state: Connection = { is: "idle" };
  private readonly listeners = new Set<() => void>();

  constructor(outside: Outside) {
    this.outside = outside;
  }

  readonly connection = (): Connection => this.state;

  readonly onConnection = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Where snapshots are to be taken: everything after it comes by the stream. */
  place(): Promise<string> {
    this.forgetOldPlace();
    if (this.lastCursor !== null) return Promise.resolve(this.lastCursor);
    this.asking ??= this.outside
      .cursor()
      .then((cursor) => {
        this.moveTo(cursor);
        return cursor;
      })
      .finally(() => {
        this.asking = null;
      });
    return this.asking;
  }

  /** Follow these topics instead of those before; returns how to end it. */
  follow(subscription: Subscription): () => void {
    this.forgetOldPlace();
    this.subscription = subscription;
    this.attempts = 0;
    this.reconnect();
    return () => {
      if (this.subscription !== subscription) return;
      this.subscription = null;
      this.drop();
      this.become({ is: "idle" });
    };
  }

  /** The tab was hidden or is seen again. */
  visible(seen: boolean): void {
    clearTimeout(this.sleeping);
    if (!seen) {
      this.sleeping = setTimeout(() => {
        this.asleep = true;
        this.drop();
      }, HIDDEN_MS);
    } else if (this.asleep) {
      this.asleep = false;
      // Everything since would have to be sent; what is shown is less.
      this.lastCursor = null;
      this.subscription?.resync();
      this.wake();
    }
  }

  /** The network is back, or the tab is: do not wait any longer. */
  wake(): void {
    if (!this.subscription || (this.state.is === "live" && this.socket)) return;
    this.attempts = 0;
    this.reconnect();
  }

  private moveTo(cursor: string): void {
    this.lastCursor = cursor;
    this.movedAt = this.outside.now();
  }

  /** Nobody has followed for a while: what was missed meanwhile is nobody's. */
  private forgetOldPlace(): void {
    if (!this.subscription && this.outside.now() - this.movedAt > OLD_CURSOR_MS) this.lastCursor = null;
  }

  private become(state: Connection): void {
    this.state = state;
    for (const listener of this.listeners) listener();
  }

  private drop(): void {
    clearTimeout(this.pause);
    clearTimeout(this.silence);
    const socket = this.socket;
    this.socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  private reconnect(): void {
    this.drop();
    if (this.asleep || !this.subscription) return;
    if (this.state.is === "live") this.become({ is: "connecting", lostAt: this.outside.now() });
    else if (this.state.is === "idle") this.become({ is: "connecting", lostAt: null });
    const wanted = this.subscription;
    this.place().then(
      (cursor) => {
        if (this.subscription === wanted && !this.socket && !this.asleep) this.open(wanted, cursor);
      },
      () => {
        if (this.subscription === wanted) this.later();
      },
    );
  }

  private open(wanted: Subscription, after: string): void {
    const socket = this.outside.connect();
    this.socket = socket;
    let heard = false;
    socket.onopen = () => {
      const { topics, types = [], partial = false } = wanted;
      socket.send(JSON.stringify({ after, topics, types, partial }));
      this.expectWord();
    };
    socket.onmessage = ({ data }) => {
      heard = true;
      this.expectWord();
      this.take(wanted, JSON.parse(String(data)) as Frame);
    };
    socket.onclose = ({ code }) => {
      this.socket = null;
      this.closed(wanted, code, heard);
    };
  }

  private take(wanted: Subscription, frame: Frame): void {
    if ("events" in frame) {
      this.attempts = 0;
      this.moveTo(frame.cursor);
      if (this.state.is !== "live") this.become({ is: "live" });
      if (frame.events.length > 0) wanted.events(frame.events, frame.cursor);
    } else if ("partial" in frame) {
      wanted.piece?.(frame.partial);
    }
  }

  private closed(wanted: Subscription, code: number, heard: boolean): void {
    clearTimeout(this.silence);
    if (this.subscription !== wanted) return;
    this.become({ is: "connecting", lostAt: this.lostAt() });
    if (code === VOID) {
      this.outside.signedOut();
      return;
    }
    if (code === EXPIRED || code === WRONG) {
      this.lastCursor = null;
      wanted.resync();
    } else if (!heard) {
      this.outside.probe();
    }
    this.later();
  }

  private lostAt(): number | null {
    return this.state.is === "connecting" ? this.state.lostAt : this.outside.now();
  }

  private later(): void {
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.attempts++);
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.reconnect(), longest * (0.5 + this.outside.random() / 2));
  }

  private expectWord(): void {
    clearTimeout(this.silence);
    // A connection that died without a word, as of a laptop that slept.
    this.silence = setTimeout(() => this.reconnect(), SILENCE_MS);
  }
}

type Frame = { events: Recorded[]; cursor: string } | { partial: Piece } | { error: unknown };
