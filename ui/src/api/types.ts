/** The API's nouns, by the names they have there. Generated: see schema.d.ts. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Task = Schemas["Task"];
export type ShownTask = Schemas["ShownTask"];
export type Run = Schemas["Run"];
export type Change = Schemas["Change"];
export type Project = Schemas["Project"];
export type Inquiry = Schemas["Inquiry"];
export type Message = Schemas["Message"];
export type Me = Schemas["Me"];
export type Recorded = Schemas["RecordedEvent"];
export type Event = Recorded["event"];
export type Usage = Schemas["Usage"];
export type Effect = Schemas["Effect"];
export type Status = Task["status"];

/** Text while it is being said: no event, no place in the log. */
export interface Piece {
  run_id: string;
  task_id: string;
  item: string;
  text: string;
  thought: boolean;
}
