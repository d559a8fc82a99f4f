import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Task } from "../api/types";
import { recorded, task } from "./making.test.help";
import { AWAY_MS, type Filter, SETTLE_MS, type Source, TaskList } from "./tasks";

const name = (number: number) => `task_${String(number).padStart(6, "0")}`;

class Server implements Source {
  tasks = new Map<string, Task>();
  pages = 0;
  single: string[] = [];
  constructor(count: number) {
    for (let number = 1; number <= count; number++) this.put(number);
  }
  put(number: number, word = "running") {
    this.tasks.set(name(number), task(name(number), word));
  }
  async page({ status }: Filter, after: string | null, limit: number) {
    this.pages++;
    const fit = [...this.tasks.values()]
      .filter((one) => !status || one.status.word === status)
      .sort((a, b) => (a.id < b.id ? 1 : -1))
      .filter(({ id }) => after === null || id < after);
    const items = fit.slice(0, limit);
    return { items, next: fit.length > limit ? items.at(-1)!.id : null };
  }
  async task(id: string) {
    this.single.push(id);
    return this.tasks.get(id) ?? null;
  }
}

const moved = (number: number) => recorded(number, { type: "run.started", task_id: name(number) });
const ids = (list: TaskList) => list.state.get().ids;
const settle = () => vi.advanceTimersByTimeAsync(SETTLE_MS);
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("the list of tasks", () => {
  it("loads page by page, newest first", async () => {
    const list = new TaskList(new Server(250), {});
    await list.load();
    expect(ids(list)[0]).toBe(name(250));
    expect(ids(list)).toHaveLength(100);
    await list.more();
    await list.more();
    expect(ids(list)).toHaveLength(250);
    expect(list.state.get().next).toBeNull();
    await list.more();
    expect(ids(list)).toHaveLength(250);
  });

  it("asks once for a task that moved many times, and tells only its row", async () => {
    const server = new Server(50);
    const list = new TaskList(server, {});
    await list.load();
    const mine = vi.fn();
    const other = vi.fn();
    const whole = vi.fn();
    list.doc(name(7)).subscribe(mine);
    list.doc(name(8)).subscribe(other);
    server.put(7, "done");
    list.hear([moved(7), moved(7), moved(8)]);
    list.hear([moved(7)]);
    await settle();
    expect(server.single.sort()).toEqual([name(7), name(8)]);
    const before = ids(list);
    list.state.subscribe(whole);
    expect(list.doc(name(7)).get().status.word).toBe("done");
    expect([mine.mock.calls.length, other.mock.calls.length]).toEqual([1, 0]);
    expect(ids(list)).toBe(before);
  });

  it("puts a new task in its place, and leaves out what its filter does not take", async () => {
    const server = new Server(3);
    const list = new TaskList(server, { status: "running" });
    await list.load();
    server.put(4);
    server.put(2, "done");
    list.hear([moved(4), moved(2)]);
    await settle();
    expect(ids(list)).toEqual([name(4), name(3), name(1)]);
    server.put(2, "running");
    list.hear([moved(2)]);
    await settle();
    expect(ids(list)).toEqual([name(4), name(3), name(2), name(1)]);
  });

  it("asks nothing about tasks older than what is loaded", async () => {
    const server = new Server(500);
    const list = new TaskList(server, {});
    await list.load();
    list.hear([moved(1)]);
    await settle();
    expect(server.single).toEqual([]);
    expect(ids(list)).toHaveLength(100);
  });

  it("loads pages instead when very many have moved", async () => {
    const server = new Server(400);
    const list = new TaskList(server, {});
    await list.load();
    await list.more();
    const pages = server.pages;
    for (let number = 200; number <= 400; number++) server.put(number, "done");
    list.hear(Array.from({ length: 201 }, (_, index) => moved(200 + index)));
    await settle();
    expect(server.single).toEqual([]);
    expect(server.pages - pages).toBe(1);
    expect(ids(list)).toHaveLength(400);
    expect(list.state.get().next).toBeNull();
    expect(list.doc(name(390)).get().status.word).toBe("done");
  });

  it("looks at the newest again without losing what stands below", async () => {
    const server = new Server(900);
    const list = new TaskList(server, {});
    await list.load();
    for (let page = 0; page < 6; page++) await list.more();
    expect(ids(list)).toHaveLength(700);
    server.put(901);
    server.tasks.delete(name(899));
    await list.top();
    expect(ids(list)).toHaveLength(700);
    expect(ids(list).slice(0, 3)).toEqual([name(901), name(900), name(898)]);
    await list.more();
    expect(ids(list)).toHaveLength(800);
    expect(new Set(ids(list)).size).toBe(800);
    await list.load();
    expect(ids(list)).toHaveLength(500);
  });

  it("goes on with those that did not fit into one round", async () => {
    const server = new Server(60);
    const list = new TaskList(server, {});
    await list.load();
    list.hear(Array.from({ length: 60 }, (_, index) => moved(index + 1)));
    for (let round = 0; round < 3; round++) await settle();
    expect(new Set(server.single).size).toBe(60);
  });

  it("asks again about what moved while the server was away", async () => {
    const server = new Server(3);
    const list = new TaskList(server, {});
    await list.load();
    const ask = server.task.bind(server);
    server.task = () => Promise.reject(new TypeError("away"));
    server.put(2, "done");
    list.hear([moved(2)]);
    await settle();
    server.task = ask;
    await vi.advanceTimersByTimeAsync(AWAY_MS);
    expect(list.doc(name(2)).get().status.word).toBe("done");
  });

  it("keeps what it has when the server is away, and says so", async () => {
    const server = new Server(3);
    const list = new TaskList(server, {});
    await list.load();
    server.page = () => Promise.reject(new TypeError("away"));
    await list.load();
    expect(ids(list)).toHaveLength(3);
    expect(list.state.get()).toMatchObject({ loading: false, loaded: true });
    expect(list.state.get().failed).toBeInstanceOf(TypeError);
  });
});
