/** Events for tests, numbered as they are made. */
import type { Event, Recorded, Task } from "../api/types";

export const RUN = "run_1";
export const TASK = "task_1";
type Loose = { type: Event["type"] } & Record<string, unknown>;

export function recorded(seq: number, event: Loose): Recorded {
  return { seq, at: "2026-01-01T00:00:00Z", by: "worker", v: 2, event: { run_id: RUN, task_id: TASK, ...event } as unknown as Event };
}

export const said = (seq: number, text: string) => recorded(seq, { type: "run.said", text });

export function saidFrom(first: number, count: number): Recorded[] {
  return Array.from({ length: count }, (_, index) => said(first + index, `line ${first + index}`));
}

export function task(id: string, word = "running", more: Partial<Task> = {}): Task {
  return { id, title: id, status: { word }, project_id: null, ...more } as Task;
}
