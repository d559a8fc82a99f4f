import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { saidFrom } from "./making.test.help";
import { HIDDEN_MS, LONGEST_PAUSE_MS, OLD_CURSOR_MS, SILENCE_MS, type Socket, Stream, type Subscription } from "./stream";

class Wire implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: unknown }) => void) | null = null;
  onclose: ((closed: { code: number }) => void) | null = null;
  sent: string[] = [];
  closed = false;
  send(text: string) {
    this.sent.push(text);
  }
  close() {
    this.closed = true;
  }
  asked() {
    return JSON.parse(this.sent[0]!);
  }
  say(frame: object) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
}

function made() {
  const wires: Wire[] = [];
  const outside = {
    connect: () => {
      const wire = new Wire();
      wires.push(wire);
      queueMicrotask(() => wire.onopen?.());
      return wire;
    },
    cursor: vi.fn(async () => "end"),
    signedOut: vi.fn(),
    probe: vi.fn(),
    now: () => Date.now(),
    random: () => 1,
  };
  const stream = new Stream(outside);
  const heard: number[] = [];
  const subscription: Subscription = {
    topics: ["events"],
    types: ["run.said"],
    events: (events) => heard.push(...events.map(({ seq }) => seq)),
    piece: vi.fn(),
    resync: vi.fn(),
  };
  return { stream, outside, wires, heard, subscription };
}

const settled = () => vi.advanceTimersByTimeAsync(0);
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("the stream", () => {
  it("begins at the end of the log and says what it wants", async () => {
    const { stream, wires, subscription } = made();
    stream.follow(subscription);
    await settled();
    expect(wires[0]!.asked()).toEqual({ after: "end", topics: ["events"], types: ["run.said"], partial: false });
    expect(stream.connection()).toEqual({ is: "connecting", lostAt: null });
    wires[0]!.say({ events: [], cursor: "end" });
    expect(stream.connection()).toEqual({ is: "live" });
  });

  it("comes back with the last cursor it saw, so that nothing is missed or doubled", async () => {
    const { stream, wires, heard, subscription } = made();
    stream.follow(subscription);
    await settled();
    wires[0]!.say({ events: saidFrom(1, 2), cursor: "two" });
    wires[0]!.onclose?.({ code: 1006 });
    expect(stream.connection().is).toBe("connecting");
    await vi.advanceTimersByTimeAsync(LONGEST_PAUSE_MS);
    expect(wires[1]!.asked().after).toBe("two");
    wires[1]!.say({ events: saidFrom(3, 1), cursor: "three" });
    expect(heard).toEqual([1, 2, 3]);
    expect(subscription.resync).not.toHaveBeenCalled();
  });

  it("waits longer after every failure, asks whether it is the login, and begins anew once it was heard", async () => {
    const { stream, outside, wires, subscription } = made();
    stream.follow(subscription);
    await settled();
    for (const pause of [250, 500, 1000, 2000]) {
      const count = wires.length;
      wires.at(-1)!.onclose?.({ code: 1006 });
      await vi.advanceTimersByTimeAsync(pause - 1);
      expect(wires.length).toBe(count);
      await vi.advanceTimersByTimeAsync(1);
      expect(wires.length).toBe(count + 1);
    }
    expect(outside.probe).toHaveBeenCalledTimes(4);
    wires.at(-1)!.say({ events: [], cursor: "x" });
    const count = wires.length;
    wires.at(-1)!.onclose?.({ code: 1012 });
    await vi.advanceTimersByTimeAsync(250);
    expect(wires.length).toBe(count + 1);
    expect(outside.probe).toHaveBeenCalledTimes(4);
  });

  it("starts afresh when its place is forgotten", async () => {
    const { stream, outside, wires, subscription } = made();
    stream.follow(subscription);
    await settled();
    wires[0]!.say({ events: [], cursor: "old" });
    outside.cursor.mockResolvedValue("newer");
    wires[0]!.onclose?.({ code: 4410 });
    expect(subscription.resync).toHaveBeenCalledOnce();
    await vi.advanceTimersByTimeAsync(LONGEST_PAUSE_MS);
    expect(wires[1]!.asked().after).toBe("newer");
  });

  it("ends with the login, and does not come back", async () => {
    const { stream, outside, wires, subscription } = made();
    stream.follow(subscription);
    await settled();
    wires[0]!.onclose?.({ code: 4401 });
    await vi.advanceTimersByTimeAsync(10 * LONGEST_PAUSE_MS);
    expect(outside.signedOut).toHaveBeenCalledOnce();
    expect(wires.length).toBe(1);
  });

  it("sleeps in a hidden tab, and loads again when that is seen", async () => {
    const { stream, wires, subscription } = made();
    stream.follow(subscription);
    await settled();
    wires[0]!.say({ events: [], cursor: "then" });
    stream.visible(false);
    await vi.advanceTimersByTimeAsync(HIDDEN_MS - 1);
    expect(wires[0]!.closed).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(wires[0]!.closed).toBe(true);
    stream.visible(true);
    await settled();
    expect(subscription.resync).toHaveBeenCalledOnce();
    expect(wires[1]!.asked().after).toBe("end");
  });

  it("does not sleep when it is hidden for a moment", async () => {
    const { stream, wires, subscription } = made();
    stream.follow(subscription);
    await settled();
    wires[0]!.say({ events: [], cursor: "then" });
    stream.visible(false);
    await vi.advanceTimersByTimeAsync(HIDDEN_MS / 2);
    stream.visible(true);
    wires[0]!.say({ events: [], cursor: "then" });
    await vi.advanceTimersByTimeAsync(HIDDEN_MS);
    expect(wires.length).toBe(1);
    expect(wires[0]!.closed).toBe(false);
  });

  it("notices a connection that died without a word", async () => {
    const { stream, wires, subscription } = made();
    stream.follow(subscription);
    await settled();
    wires[0]!.say({ events: [], cursor: "then" });
    await vi.advanceTimersByTimeAsync(SILENCE_MS);
    expect(wires[0]!.closed).toBe(true);
    expect(wires[1]!.asked().after).toBe("then");
  });

  it("goes on at its place with other topics, and with a new one after a long pause", async () => {
    const { stream, wires, subscription } = made();
    const stop = stream.follow(subscription);
    await settled();
    wires[0]!.say({ events: [], cursor: "here" });
    stop();
    stream.follow({ ...subscription, topics: ["task:x"], partial: true });
    await settled();
    expect(wires[1]!.asked()).toMatchObject({ after: "here", topics: ["task:x"], partial: true });
    wires[1]!.say({ partial: { run_id: "r", task_id: "x", item: "1", text: "so", thought: false } });
    expect(subscription.piece).toHaveBeenCalledOnce();
    stream.follow(subscription)();
    await vi.advanceTimersByTimeAsync(OLD_CURSOR_MS + 1);
    expect(await stream.place()).toBe("end");
  });

  it("tries again when not even the end of the log can be asked for", async () => {
    const { stream, outside, wires, subscription } = made();
    outside.cursor.mockRejectedValueOnce(new TypeError("away"));
    stream.follow(subscription);
    await settled();
    expect(wires.length).toBe(0);
    await vi.advanceTimersByTimeAsync(250);
    expect(wires.length).toBe(1);
  });
});
