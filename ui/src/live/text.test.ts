import { describe, expect, it } from "vitest";
import { telling, whatOf } from "./effects";
import { brief, exact, line, span, visible } from "./text";

describe("text of agents", () => {
  it.each([
    ["plain", "plain"],
    ["tab\tand\nnewline", "tab\tand\nnewline"],
    ["\x1b[31mred\x1b[0m", "red"],
    ["\x1b]8;;http://evil.example\x07link\x1b]8;;\x07", "link"],
    ["a\u202eb", "a\\u202eb"],
    ["a\u2066b\u2069", "a\\u2066b\\u2069"],
    ["zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"],
    ["nul\x00bell\x07", "nul\\x00bell\\x07"],
    ["c1\x9b31m", "c1\\x9b31m"],
    ["cr\rover", "cr\\x0dover"],
    ["windows\r\nline", "windows\nline"],
    ["nbsp\u00a0here", "nbsp\u00a0here"],
    ["sep\u2028arated", "sep\\u2028arated"],
    ["tag\u{e0041}", "tag\\U000e0041"],
    ["private\ue000", "private\\ue000"],
    ["half\ud800", "half\\ud800"],
    ["żółć 日本 🙂", "żółć 日本 🙂"],
    ["family 👨‍👩‍👧", "family 👨‍👩‍👧"],
    ["a\u200db", "a\\u200db"],
  ])("is made visible: %j", (given, shown) => {
    expect(visible(given)).toBe(shown);
  });

  it("leaves nothing away where somebody decides about it", () => {
    expect(exact("rm\u00a0-rf\u3000/")).toBe("rm\\xa0-rf\\u3000/");
    expect(exact("rm \x1b[8m-rf\x1b[0m /")).toBe("rm \\x1b[8m-rf\\x1b[0m /");
  });

  it("is put on one line, ids by their ends", () => {
    expect(line("a\n\n  b\tc ")).toBe("a b c");
    expect(brief("given to worker_01m8gp845c54s09h40j0cq8t60")).toBe("given to worker cq8t60");
    expect(brief("worker:worker_01m8gp845c54s09h40j0cq8t60")).toBe("worker cq8t60");
  });

  it("tells of a tool's arguments the one that says most", () => {
    expect(telling({ description: "d", command: "make" })).toBe("make");
    expect(telling({ a: 1, b: "x" })).toBe("a=1  b=x");
    expect(telling([1])).toBe("[1]");
    const effect = { tool: "Bash", kind: "command", command: "a\nb\u202e", cwd: "", digest: "" } as never;
    expect(whatOf(effect)).toBe("$ a ⏎ b\\u202e");
    expect(whatOf({ tool: "Edit", kind: "edit", paths: ["/w/x.py"], cwd: "/w", digest: "" } as never)).toBe("edit x.py");
  });

  it("tells spans", () => {
    expect([-5, 59.9, 60, 3600, 200_000].map(span)).toEqual(["0 s", "59 s", "1 min", "1 h", "2 d"]);
  });
});
