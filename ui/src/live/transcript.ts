/**
 * A window on a task's log: the newest events first, older ones paged in from above, new ones from the stream below.
 * However long the log, the window is bounded: at the tail its oldest part goes, away from the tail new events are
 * only counted until the reader comes back.
 */
import type { Piece, Recorded } from "../api/types";
import { type Block, Blocks, isShown } from "./blocks";
import { Store } from "./store";

export const FIRST = 200;
export const OLDER = 500;
export const MOST = 20_000;
/** What goes at once when the window is full. */
const CUT = 5_000;
/** Of one text that is being said: its end. */
export const SAYING_CHARS = 20_000;

export interface EventsPage {
  events: Recorded[];
  cursor: string;
}

export interface Log {
  /** The end of the log. */
  place(): Promise<string>;
  before(cursor: string, limit: number): Promise<EventsPage>;
}

export interface TranscriptState {
  blocks: readonly Block[];
  loaded: boolean;
  loading: "tail" | "older" | null;
  /** Nothing is before what is shown. */
  complete: boolean;
  /** Events that came since, and are not in the window. */
  unseen: number;
  failed: unknown;
}

const NOTHING: TranscriptState = {
  blocks: [], loaded: false, loading: null, complete: false, unseen: 0, failed: null,
};

export class Transcript {
  readonly state = new Store<TranscriptState>(NOTHING);
  /** What is being said now, by run and item. */
  readonly saying = new Store<readonly { key: string; text: string; thought: boolean }[]>([]);
  private readonly log: Log;
  private events: Recorded[] = [];
  private blocks = new Blocks();
  /** Places between events that can be asked for. */
  private marks: { cursor: string; seq: number }[] = [];
  private older_: string | null = null;
  private waiting: { events: Recorded[]; cursor: string }[] = [];
  /** The window does not reach to the end of the log. */
  private away = false;
  private generation = 0;
  following = true;

  constructor(log: Log) {
    this.log = log;
  }

  /** The end of the log, in place of whatever is shown. */
  async tail(): Promise<void> {
    const mine = ++this.generation;
    this.waiting = [];
    this.become({ loading: "tail" });
    try {
      const page = await this.log.before(await this.log.place(), FIRST);
      if (mine !== this.generation) return;
      this.events = page.events;
      this.marks = [];
      this.older_ = page.events.length < FIRST ? null : page.cursor;
      this.blocks = Blocks.of(this.events);
      this.away = false;
      this.become({ loaded: true, loading: null, failed: null, unseen: 0 });
      for (const { events, cursor } of this.waiting.splice(0)) this.hear(events, cursor);
    } catch (failed) {
      if (mine === this.generation) this.become({ loading: null, failed });
    }
  }

  async older(): Promise<void> {
    const { loading, loaded } = this.state.get();
    if (loading || !loaded || this.older_ === null) return;
    const mine = this.generation;
    this.become({ loading: "older" });
    try {
      const page = await this.log.before(this.older_, OLDER);
      if (mine !== this.generation) return;
      this.older_ = page.events.length < OLDER ? null : page.cursor;
      this.events = [...page.events, ...this.events];
      if (this.events.length > MOST) {
        this.events = this.events.slice(0, MOST - CUT);
        this.away = true;
      }
      this.blocks = Blocks.of(this.events);
      this.become({ loading: null, failed: null });
    } catch (failed) {
      if (mine === this.generation) this.become({ loading: null, failed });
    }
  }

  /** From the stream: consecutive events, and the cursor behind them. */
  hear(events: Recorded[], cursor: string): void {
    const { loaded, loading } = this.state.get();
    if (!loaded || loading === "tail") {
      this.waiting.push({ events, cursor });
      return;
    }
    const last = this.events.at(-1)?.seq ?? 0;
    const fresh = events.filter(({ seq, event }) => seq > last && isShown(event));
    this.hush(events);
    if (fresh.length === 0) return;
    if (this.away || (!this.following && this.events.length + fresh.length > MOST)) {
      this.away = true;
      this.become({ unseen: this.state.get().unseen + fresh.length });
      return;
    }
    this.events.push(...fresh);
    this.marks.push({ cursor, seq: fresh.at(-1)!.seq });
    if (this.events.length > MOST && this.trim()) this.blocks = Blocks.of(this.events);
    else this.blocks.add(fresh);
    this.become({});
  }

  hearPiece(piece: Piece): void {
    const key = `${piece.run_id} ${piece.item}`;
    const before = this.saying.get();
    const known = before.find((one) => one.key === key);
    const text = ((known?.text ?? "") + piece.text).slice(-SAYING_CHARS);
    const one = { key, text, thought: piece.thought };
    this.saying.set(known ? before.map((other) => (other === known ? one : other)) : [...before, one].slice(-8));
  }

  /** What was being said in a run has been said. */
  private hush(events: readonly Recorded[]): void {
    for (const { event } of events) {
      const over = event.type === "run.said" || event.type === "run.thought" || event.type === "run.finishing";
      if (over && this.saying.get().length > 0) {
        this.saying.set(this.saying.get().filter(({ key }) => !key.startsWith(event.run_id)));
      }
    }
  }

  /** Let the oldest go, up to a place that can be asked for again. */
  private trim(): boolean {
    const from = this.events[Math.min(CUT, this.events.length - 1)]!.seq;
    const mark = this.marks.find(({ seq }) => seq >= from);
    if (!mark || mark === this.marks.at(-1)) return false;
    this.events = this.events.filter(({ seq }) => seq > mark.seq);
    this.marks = this.marks.filter(({ seq }) => seq > mark.seq);
    this.older_ = mark.cursor;
    return true;
  }

  private become(change: Partial<TranscriptState>): void {
    const { list } = this.blocks;
    this.state.set({ ...this.state.get(), blocks: list, complete: this.older_ === null, ...change });
  }
}
