import { describe, expect, it } from "vitest";
import type { Recorded } from "../api/types";
import { recorded, said, saidFrom } from "./making.test.help";
import { FIRST, type Log, MOST, Transcript } from "./transcript";

/** A log of so many events, whose cursors are the numbers themselves. */
class Written implements Log {
  asked: string[] = [];
  gate: Promise<void> = Promise.resolve();
  constructor(public length: number) {}
  async place() {
    return String(this.length);
  }
  async before(cursor: string, limit: number) {
    this.asked.push(cursor);
    const last = Number(cursor);
    const first = Math.max(1, last - limit + 1);
    await this.gate;
    return { events: saidFrom(first, last - first + 1), cursor: String(first - 1) };
  }
}

const shown = (transcript: Transcript) => transcript.state.get().blocks.map(({ seq }) => seq);
const range = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

describe("a transcript", () => {
  it("begins with the newest and pages up to the beginning, without a gap", async () => {
    const transcript = new Transcript(new Written(1000));
    await transcript.tail();
    expect(shown(transcript)).toEqual(range(1000 - FIRST + 1, 1000));
    expect(transcript.state.get().complete).toBe(false);
    await transcript.older();
    await transcript.older();
    expect(shown(transcript)).toEqual(range(1, 1000));
    expect(transcript.state.get().complete).toBe(true);
  });

  it("takes what comes while it loads, each event once", async () => {
    const log = new Written(10);
    let open = () => {};
    log.gate = new Promise((resolve) => (open = resolve));
    const transcript = new Transcript(log);
    const loading = transcript.tail();
    transcript.hear(saidFrom(9, 4), "12");
    open();
    await loading;
    transcript.hear([said(12, "again"), said(13, "new")], "13");
    expect(shown(transcript)).toEqual(range(1, 13));
  });

  it("stays bounded at the end of a log without end, and pages back to what it let go", async () => {
    const log = new Written(FIRST);
    const transcript = new Transcript(log);
    await transcript.tail();
    let seq = FIRST;
    while (seq < 3 * MOST) {
      transcript.hear(saidFrom(seq + 1, 500), String(seq + 500));
      seq += 500;
    }
    log.length = seq;
    const window = shown(transcript);
    expect(window.length).toBeLessThanOrEqual(MOST);
    expect(window.length).toBeGreaterThan(MOST / 2);
    expect(window).toEqual(range(window[0]!, seq));
    await transcript.older();
    expect(shown(transcript)).toEqual(range(window[0]! - 500, seq));
  });

  it("only counts what is new while somebody reads further up in a full window, until they come back", async () => {
    const log = new Written(FIRST);
    const transcript = new Transcript(log);
    await transcript.tail();
    transcript.following = false;
    transcript.hear(saidFrom(FIRST + 1, 1000), "1200");
    const kept = shown(transcript);
    expect(kept).toEqual(range(1, 1200));
    transcript.hear(saidFrom(1201, MOST), String(1200 + MOST));
    transcript.hear(saidFrom(1201 + MOST, 5), String(1205 + MOST));
    expect(shown(transcript)).toEqual(kept);
    expect(transcript.state.get().unseen).toBe(MOST + 5);
    log.length = 1205 + MOST;
    await transcript.tail();
    expect(transcript.state.get().unseen).toBe(0);
    expect(shown(transcript).at(-1)).toBe(1205 + MOST);
    transcript.hear([said(1206 + MOST, "on")], "x");
    expect(shown(transcript).at(-1)).toBe(1206 + MOST);
  });

  it("is bounded when somebody pages up for ever", async () => {
    const transcript = new Transcript(new Written(100_000));
    await transcript.tail();
    transcript.following = false;
    for (let page = 0; page < 60; page++) {
      await transcript.older();
      const window = shown(transcript);
      expect(window.length).toBeLessThanOrEqual(MOST);
      expect(window).toEqual(range(window[0]!, window.at(-1)!));
    }
    expect(shown(transcript)[0]).toBe(100_000 - FIRST - 60 * 500 + 1);
  });

  it("tells a failure and mends itself with the next try", async () => {
    const log = new Written(3);
    const before = log.before.bind(log);
    log.before = () => Promise.reject(new TypeError("away"));
    const transcript = new Transcript(log);
    await transcript.tail();
    expect(transcript.state.get()).toMatchObject({ loaded: false, loading: null });
    expect(transcript.state.get().failed).toBeInstanceOf(TypeError);
    log.before = before;
    await transcript.tail();
    expect(transcript.state.get().failed).toBeNull();
    expect(shown(transcript)).toEqual([1, 2, 3]);
  });

  it("shows text while it is being said, until the event comes with the whole of it", async () => {
    const transcript = new Transcript(new Written(1));
    await transcript.tail();
    const piece = (text: string) => ({ run_id: "run_1", task_id: "task_1", item: "i", text, thought: false });
    transcript.hearPiece(piece("Hel"));
    transcript.hearPiece(piece("lo"));
    expect(transcript.saying.get()).toMatchObject([{ text: "Hello" }]);
    transcript.hear([recorded(2, { type: "run.tool_called", call_id: "c", name: "n" })] as Recorded[], "2");
    expect(transcript.saying.get()).toHaveLength(1);
    transcript.hear([said(3, "Hello.")], "3");
    expect(transcript.saying.get()).toEqual([]);
  });
});
