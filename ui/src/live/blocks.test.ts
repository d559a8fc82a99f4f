import { describe, expect, it } from "vitest";
import { Blocks } from "./blocks";
import { recorded, said } from "./making.test.help";

const call = (seq: number, id: string, more = {}) =>
  recorded(seq, { type: "run.tool_called", call_id: id, name: "Bash", input: { command: "make" }, ...more });
const back = (seq: number, id: string, output: string, more = {}) =>
  recorded(seq, { type: "run.tool_returned", call_id: id, output, ...more });

describe("blocks", () => {
  it("pairs a call with what it returned, whatever stands between", () => {
    const made = Blocks.of([call(1, "a"), said(2, "meanwhile"), call(3, "b"), back(4, "b", "second", { is_error: true }), back(5, "a", "first")]);
    expect(made.list).toMatchObject([
      { kind: "tool", seq: 1, output: "first", failed: false },
      { kind: "said" },
      { kind: "tool", seq: 3, output: "second", failed: true },
    ]);
  });

  it("does not pair calls of two runs that have the same name", () => {
    const made = Blocks.of([call(1, "a"), { ...back(2, "a", "other's", { run_id: "run_2" }) }]);
    expect(made.list).toMatchObject([{ output: null }, { kind: "tool", name: "", output: "other's" }]);
  });

  it("shows a return whose call was not loaded, and pairs it once that is", () => {
    const late = [back(9, "a", "late")];
    expect(Blocks.of(late).list).toMatchObject([{ kind: "tool", name: "", output: "late" }]);
    expect(Blocks.of([call(1, "a"), ...late]).list).toMatchObject([{ seq: 1, name: "Bash", output: "late" }]);
  });

  it("puts sub-agents under the call that made them, as deep as they are", () => {
    const made = Blocks.of([
      call(1, "a"),
      recorded(2, { type: "run.said", text: "child", under: "a" }),
      call(3, "b", { under: "a" }),
      recorded(4, { type: "run.said", text: "grandchild", under: "b" }),
      recorded(5, { type: "run.said", text: "of a call before the window", under: "x" }),
      said(6, "the agent"),
    ]);
    expect(made.list.map(({ depth }) => depth)).toEqual([0, 1, 1, 2, 1, 0]);
  });

  it("joins an inquiry and its answer, a message and what became of it", () => {
    const made = Blocks.of([
      recorded(1, { type: "inquiry.opened", inquiry: { id: "inquiry_1" } }),
      recorded(2, { type: "message.sent", message: { id: "message_1", text: "hi" } }),
      recorded(3, { type: "inquiry.answered", inquiry_id: "inquiry_1", answer: { decision: "allow", by: "owner" } }),
      recorded(4, { type: "message.delivered", message_id: "message_1" }),
      recorded(5, { type: "message.undelivered", message_id: "message_1", why: "it ended" }),
    ]);
    expect(made.list).toMatchObject([
      { kind: "asked", answer: { decision: "allow", by: "owner", reason: "" } },
      { kind: "message", became: "undelivered", why: "it ended" },
    ]);
  });

  it("keeps the objects of blocks that do not change, and lists as they were", () => {
    const made = Blocks.of([said(1, "one"), call(2, "a")]);
    const before = made.list;
    made.add([back(3, "a", "x"), said(4, "four")]);
    expect(before).toHaveLength(2);
    expect(before).toMatchObject([{}, { output: null }]);
    expect(made.list[0]).toBe(before[0]);
    expect(made.list[1]).not.toBe(before[1]);
    expect(made.list).toHaveLength(3);
  });

  it("leaves out what tells nobody anything, also what it does not know", () => {
    const made = Blocks.of([
      recorded(1, { type: "run.used" }),
      recorded(2, { type: "of.the_future" as never }),
      said(3, "  \n"),
      recorded(4, { type: "task.failed", reason: "budget", detail: "5 USD" }),
    ]);
    expect(made.list).toMatchObject([{ kind: "ended", word: "failed", text: "budget: 5 USD" }]);
  });
});
