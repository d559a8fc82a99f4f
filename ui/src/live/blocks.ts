/**
 * A task's events as blocks to be read, in the order of the log: the same as `podium logs` prints. A tool's call and
 * what it returned are one block, an inquiry and its answer too. Blocks are immutable; a changed one is a new object.
 */
import type { Event, Inquiry, Message, Recorded } from "../api/types";

interface Base {
  /** Stable: the place of the event that began it. */
  seq: number;
  at: string;
  /** How deep below the agent itself: sub-agents stand under the tool call that made them. */
  depth: number;
}

export interface Answered {
  decision: string;
  by: string;
  reason: string;
}

export type Block = Base &
  (
    | { kind: "said" | "thought"; text: string }
    | { kind: "tool"; name: string; input: unknown; output: string | null; failed: boolean }
    | { kind: "asked"; inquiry: Inquiry; answer: Answered | null; over: string | null }
    | { kind: "message"; message: Message; became: string; why: string }
    | { kind: "check"; name: string; verdict: string; detail: string }
    | { kind: "notice"; text: string; loud: boolean }
    | { kind: "ended"; word: string; text: string }
  );

/** Everything that makes or changes a block. */
export const BLOCK_TYPES = [
  "run.said", "run.thought", "run.tool_called", "run.tool_returned", "run.noticed", "inquiry.opened",
  "inquiry.answered", "inquiry.expired", "inquiry.withdrawn", "message.sent", "message.delivered",
  "message.started", "message.completed", "message.requeued", "message.undelivered", "check.finished",
  "task.done", "task.failed", "task.cancelled", "run.leased", "run.started", "run.adopted", "run.paused",
  "run.continued", "run.model_changed", "run.lost", "task.requeued", "task.cancel_requested",
  "session.joined", "grant.created", "grant.used", "run.finishing", "change.proposed", "change.applied",
] as const;

const KNOWN: ReadonlySet<string> = new Set(BLOCK_TYPES);

export function isShown(event: Event): boolean {
  return KNOWN.has(event.type);
}

export class Blocks {
  /** Replaced, never changed, by `add`. */
  list: readonly Block[] = [];
  private next: Block[] = [];
  private readonly calls = new Map<string, number>();
  private readonly depths = new Map<string, number>();
  private readonly inquiries = new Map<string, number>();
  private readonly messages = new Map<string, number>();

  static of(events: readonly Recorded[]): Blocks {
    const made = new Blocks();
    made.add(events);
    return made;
  }

  add(events: readonly Recorded[]): void {
    this.next = [...this.list];
    for (const recorded of events) this.one(recorded);
    this.list = this.next;
  }

  private push(block: Block): number {
    return this.next.push(block) - 1;
  }

  private change(index: number | undefined, change: (block: Block) => Block): boolean {
    if (index === undefined) return false;
    this.next[index] = change(this.next[index]!);
    return true;
  }

  private one({ seq, at, event }: Recorded): void {
    const under = "under" in event && event.under ? event.under : "";
    const base = { seq, at, depth: under ? (this.depths.get(under) ?? 1) : 0 };
    switch (event.type) {
      case "run.said":
        if (event.text.trim()) this.push({ ...base, kind: "said", text: event.text });
        break;
      case "run.thought":
        if (event.text.trim()) this.push({ ...base, kind: "thought", text: event.text });
        break;
      case "run.tool_called": {
        const index = this.push({
          ...base, kind: "tool", name: event.name, input: event.input ?? {}, output: null, failed: false,
        });
        this.depths.set(event.call_id, base.depth + 1);
        this.calls.set(`${event.run_id} ${event.call_id}`, index);
        break;
      }
      case "run.tool_returned": {
        const { output, is_error: failed = false } = event;
        const paired = this.change(this.calls.get(`${event.run_id} ${event.call_id}`), (block) => ({
          ...block, ...(block.kind === "tool" && { output, failed }),
        }));
        // Its call stands before what was loaded.
        if (!paired) this.push({ ...base, kind: "tool", name: "", input: {}, output, failed });
        break;
      }
      case "run.noticed":
        this.push({ ...base, kind: "notice", text: `${event.kind}: ${event.text}`, loud: true });
        break;
      case "inquiry.opened":
        this.inquiries.set(
          event.inquiry.id,
          this.push({ ...base, kind: "asked", inquiry: event.inquiry, answer: null, over: null }),
        );
        break;
      case "inquiry.answered":
      case "inquiry.expired": {
        const answer = { decision: event.answer.decision, by: event.answer.by, reason: event.answer.reason ?? "" };
        this.change(this.inquiries.get(event.inquiry_id), (block) => ({ ...block, answer }) as Block);
        break;
      }
      case "inquiry.withdrawn":
        this.change(this.inquiries.get(event.inquiry_id), (block) => ({ ...block, over: event.why ?? "" }) as Block);
        break;
      case "message.sent":
        this.messages.set(
          event.message.id,
          this.push({ ...base, kind: "message", message: event.message, became: "", why: "" }),
        );
        break;
      case "message.delivered":
      case "message.started":
      case "message.completed":
      case "message.requeued":
      case "message.undelivered": {
        const became = event.type.slice("message.".length);
        const why = "why" in event ? (event.why ?? "") : "";
        this.change(this.messages.get(event.message_id), (block) => ({ ...block, became, why }) as Block);
        break;
      }
      case "check.finished": {
        const { name, verdict, detail = "" } = event.result;
        this.push({ ...base, kind: "check", name, verdict, detail });
        break;
      }
      case "task.done":
      case "task.failed":
      case "task.cancelled": {
        const reason = "reason" in event ? (event.reason ?? "") : "";
        const detail = "detail" in event ? (event.detail ?? "") : "";
        const text = [reason, detail].filter(Boolean).join(": ");
        this.push({ ...base, kind: "ended", word: event.type.slice("task.".length), text });
        break;
      }
      default: {
        const text = told(event);
        if (text) this.push({ ...base, kind: "notice", text, loud: false });
      }
    }
  }
}

/** Moves of a run and its task in words; empty for what tells a person nothing. */
function told(event: Event): string {
  switch (event.type) {
    case "run.leased":
      return `given to ${event.worker_id}`;
    case "run.started":
      return `agent started (pid ${event.pid}, ${event.isolation})`;
    case "run.adopted":
      return "taken up again by its worker";
    case "run.paused":
      return `waits for ${event.reason}`;
    case "run.continued":
      return "goes on";
    case "run.model_changed":
      return `goes on with the model ${event.model}`;
    case "run.finishing":
      return "agent has ended";
    case "run.lost":
      return `run lost: ${[event.reason, event.detail].filter(Boolean).join(": ")}`;
    case "task.requeued":
      return `queued again: ${event.reason}`;
    case "task.cancel_requested":
      return "cancel asked for";
    case "session.joined":
      return `goes on with ${event.session_id}`;
    case "grant.created":
      return "approved for the next run of the task";
    case "grant.used":
      return "was approved before";
    case "change.proposed":
      return "its change is ready for review";
    case "change.applied":
      return `its change was applied: ${event.where}`;
    default:
      return "";
  }
}
