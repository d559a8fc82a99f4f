import { describe, expect, it } from "vitest";
import { first, MOST_CHARS, read } from "./diff";

const FILE = `diff --git a/a.txt b/a.txt
index 1111111..2222222 100644
--- a/a.txt
+++ b/a.txt
@@ -1,2 +1,3 @@
 keep
-old
+new
+more\u202e
`;

describe("a diff", () => {
  it("is read file by file, odd characters visible", () => {
    const { files, cut, raw } = read(FILE);
    expect([cut, raw]).toEqual([false, null]);
    expect(files).toMatchObject([{ name: "a.txt", type: "modify", added: 2, removed: 1 }]);
    expect(files[0]!.hunks[0]!.changes.map(({ content }) => content)).toEqual(["keep", "old", "new", "more\\u202e"]);
  });

  it("is nothing when nothing changed", () => {
    expect(read("\n")).toEqual({ files: [], cut: false, raw: null });
  });

  it("is cut between files when it is long", () => {
    const many = FILE.repeat(Math.ceil((MOST_CHARS * 1.5) / FILE.length));
    const { files, cut } = read(many);
    expect(cut).toBe(true);
    expect(files.length).toBeGreaterThan(1000);
    expect(files.every(({ added, removed }) => added === 2 && removed === 1)).toBe(true);
  });

  it("is cut between lines when one file is long", () => {
    const long = FILE.replace("+1,3", "+1,999999") + "+line\n".repeat(MOST_CHARS / 5);
    const { files, cut } = read(long);
    expect([cut, files.length]).toEqual([true, 1]);
    expect(first(files[0]!.hunks, 1000)[0]!.changes).toHaveLength(1000);
  });

  it.each(["not a diff at all", "diff --git\n@@ nonsense @@\n+x", `${FILE}\nrubbish\n@@ -x @@`])(
    "that is none breaks nothing: %j",
    (text) => {
      expect(() => read(text)).not.toThrow();
    },
  );
});
