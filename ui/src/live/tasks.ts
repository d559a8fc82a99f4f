/**
 * The list of tasks: pages by REST, then kept true by the stream. An event says only which task has changed; the
 * task itself, with its status, is asked of the server, many changes of one task being one question.
 */
import type { Event, Recorded, Task } from "../api/types";
import { Store } from "./store";

export interface Filter {
  status?: string;
  project?: string;
}

export interface Page {
  items: Task[];
  next: string | null;
}

export interface Source {
  page(filter: Filter, after: string | null, limit: number): Promise<Page>;
  /** Null: it is not there, or not for us. Throws when the server is away. */
  task(id: string): Promise<Task | null>;
}

export interface ListState {
  /** Newest first; ids sort by time. */
  ids: readonly string[];
  next: string | null;
  loading: boolean;
  /** The first page has come. */
  loaded: boolean;
  failed: unknown;
}

export const PAGE = 100;
/** What one question may bring. */
export const MOST_AT_ONCE = 500;
export const SETTLE_MS = 250;
/** To the next try, when the server was away. */
export const AWAY_MS = 2_000;
/** Of one round; what is left comes with the next. */
export const AT_ONCE = 25;
/** With more than this waiting, whole pages are cheaper. */
export const TOO_MANY = 150;

/** What can change a task's status or what its row shows. */
export const LIST_TYPES = [
  "task.opened", "task.started", "task.requeued", "task.cancel_requested", "task.done", "task.failed",
  "task.cancelled", "run.queued", "run.leased", "run.starting", "run.started", "run.adopted", "run.paused",
  "run.continued", "run.finishing", "run.succeeded", "run.failed", "run.cancelled", "run.lost",
  "change.drafted", "change.proposed", "change.applied", "worker.joined", "worker.left",
] as const;

export class TaskList {
  readonly state = new Store<ListState>({ ids: [], next: null, loading: false, loaded: false, failed: null });
  private readonly docs = new Map<string, Store<Task>>();
  private readonly dirty = new Set<string>();
  private readonly source: Source;
  private readonly filter: Filter;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asking = false;
  private pause = SETTLE_MS;
  private ended = false;

  constructor(source: Source, filter: Filter) {
    this.source = source;
    this.filter = filter;
  }

  doc(id: string): Store<Task> {
    return this.docs.get(id)!;
  }

  /** Anew: as much as was loaded, but no more than one question brings. */
  async load(): Promise<void> {
    const limit = Math.min(MOST_AT_ONCE, Math.max(PAGE, this.state.get().ids.length));
    await this.ask(async () => {
      const { items, next } = await this.source.page(this.filter, null, limit);
      this.show(items.map((task) => task.id), next, items);
    });
  }

  /** The newest of the list anew; what stands below stays. Returns the last id that was looked at. */
  async top(limit = PAGE): Promise<string> {
    const page = await this.source.page(this.filter, null, limit);
    const last = page.next === null ? "" : (page.items.at(-1)?.id ?? "");
    const { ids, next } = this.state.get();
    const below = ids.filter((id) => id < last);
    this.show([...page.items.map((task) => task.id), ...below], below.length > 0 ? next : page.next, page.items);
    return last;
  }

  async more(): Promise<void> {
    const { next, loading } = this.state.get();
    if (next === null || loading) return;
    await this.ask(async () => {
      const page = await this.source.page(this.filter, next, PAGE);
      const known = new Set(this.state.get().ids);
      const fresh = page.items.map((task) => task.id).filter((id) => !known.has(id));
      this.show([...this.state.get().ids, ...fresh], page.next, page.items);
    });
  }

  /** From the stream. */
  hear(events: readonly Recorded[]): void {
    for (const { event } of events) {
      if (event.type === "worker.joined" || event.type === "worker.left") {
        // Silence of a worker shows in the status of all its tasks, and is no event of theirs.
        for (const id of this.state.get().ids.slice(0, TOO_MANY + 1)) this.dirty.add(id);
      }
      const id = taskOf(event);
      if (id) this.dirty.add(id);
    }
    this.later();
  }

  end(): void {
    this.ended = true;
    clearTimeout(this.timer);
  }

  private later(): void {
    if (this.dirty.size > 0 && this.timer === undefined && !this.asking && !this.ended) {
      this.timer = setTimeout(() => void this.refresh(), this.pause);
    }
  }

  private async refresh(): Promise<void> {
    this.timer = undefined;
    this.asking = true;
    try {
      if (this.dirty.size > TOO_MANY) {
        const last = await this.top(MOST_AT_ONCE);
        for (const id of this.dirty) if (id >= last) this.dirty.delete(id);
        for (const id of this.dirty) if (!this.concerns(id)) this.dirty.delete(id);
      } else {
        const now = [...this.dirty].filter((id) => this.concerns(id)).slice(0, AT_ONCE);
        for (const id of this.dirty) if (!this.concerns(id)) this.dirty.delete(id);
        const asked = now.map(async (id) => {
          // Away before the question: what moves while it is asked makes it wanted again.
          this.dirty.delete(id);
          return this.source.task(id).catch(() => void this.dirty.add(id));
        });
        const found = await Promise.all(asked);
        this.merge(found.filter((task) => task !== null && task !== undefined));
        if (found.includes(undefined)) throw new Error("away");
      }
      this.pause = SETTLE_MS;
    } catch {
      // The server is away, and these are not told of again.
      this.pause = AWAY_MS;
    } finally {
      this.asking = false;
      this.later();
    }
  }

  /** Older than what is loaded: it comes with its page. */
  private concerns(id: string): boolean {
    const { ids, next } = this.state.get();
    return next === null || ids.length === 0 || id >= ids[ids.length - 1]!;
  }

  private merge(tasks: readonly Task[]): void {
    if (tasks.length === 0 || this.ended) return;
    const ids = new Set(this.state.get().ids);
    for (const task of tasks) {
      if (this.takes(task)) ids.add(task.id);
      else ids.delete(task.id);
    }
    const before = this.state.get().ids;
    const same = ids.size === before.length && before.every((id) => ids.has(id));
    const sorted = same ? before : [...ids].sort().reverse();
    this.show(sorted, this.state.get().next, tasks);
  }

  private takes(task: Task): boolean {
    const { status, project } = this.filter;
    return (!status || task.status.word === status) && (!project || task.project_id === project);
  }

  private show(ids: readonly string[], next: string | null, tasks: readonly Task[]): void {
    for (const task of tasks) {
      const known = this.docs.get(task.id);
      if (!known) this.docs.set(task.id, new Store(task));
      else if (JSON.stringify(known.get()) !== JSON.stringify(task)) known.set(task);
    }
    this.state.set({ ...this.state.get(), ids, next, loaded: true, failed: null });
  }

  private async ask(work: () => Promise<void>): Promise<void> {
    this.state.set({ ...this.state.get(), loading: true });
    try {
      await work();
    } catch (failed) {
      this.state.set({ ...this.state.get(), failed });
    } finally {
      this.state.set({ ...this.state.get(), loading: false });
    }
  }
}

export function taskOf(event: Event): string | null {
  switch (event.type) {
    case "task.opened":
      return event.task.id;
    case "run.queued":
      return event.run.task_id;
    case "change.drafted":
      return event.change.task_id;
    default:
      return "task_id" in event ? (event.task_id ?? null) : null;
  }
}
