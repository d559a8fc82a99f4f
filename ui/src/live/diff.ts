/** A unified diff, cut to what can be drawn; file by file, every character visible. */
import { type ChangeData, type FileData, type HunkData, parseDiff } from "react-diff-view";
import { exact } from "./text";

/** Of one diff: more is told, and can be fetched. */
export const MOST_CHARS = 2 * 1024 * 1024;

export interface ShownFile {
  name: string;
  type: FileData["type"];
  binary: boolean;
  hunks: HunkData[];
  added: number;
  removed: number;
}

export interface ShownDiff {
  files: ShownFile[];
  /** Only the beginning was read. */
  cut: boolean;
  /** It could not be read as a diff; this is its text. */
  raw: string | null;
}

export function read(patch: string): ShownDiff {
  const cut = patch.length > MOST_CHARS;
  const text = cut ? beginning(patch) : patch;
  if (!text.trim()) return { files: [], cut: false, raw: null };
  try {
    // Its parser ends lines at \n and must see no other ends.
    return { files: parseDiff(text.replace(/\r(?!\n)/g, "\\x0d")).map(shown), cut, raw: null };
  } catch {
    return { files: [], cut, raw: text };
  }
}

/** Whole files where there are several, else whole lines. */
function beginning(patch: string): string {
  const file = patch.lastIndexOf("\ndiff --git ", MOST_CHARS);
  return patch.slice(0, file > 0 ? file + 1 : patch.lastIndexOf("\n", MOST_CHARS) + 1);
}

function shown(file: FileData): ShownFile {
  const hunks = file.hunks.map((hunk) => ({
    ...hunk,
    content: exact(hunk.content),
    changes: hunk.changes.map((change) => ({ ...change, content: exact(change.content) })),
  }));
  const count = (type: ChangeData["type"]) =>
    hunks.reduce((sum, hunk) => sum + hunk.changes.filter((change) => change.type === type).length, 0);
  const { oldPath, newPath, type } = file;
  const name = type === "delete" ? oldPath : type === "rename" || type === "copy" ? `${oldPath} → ${newPath}` : newPath;
  return {
    name: exact(name),
    type,
    binary: file.isBinary === true,
    hunks,
    added: count("insert"),
    removed: count("delete"),
  };
}

/** The first `most` lines of a file's hunks. */
export function first(hunks: readonly HunkData[], most: number): HunkData[] {
  const found: HunkData[] = [];
  let left = most;
  for (const hunk of hunks) {
    if (left <= 0) break;
    found.push(hunk.changes.length <= left ? hunk : { ...hunk, changes: hunk.changes.slice(0, left) });
    left -= hunk.changes.length;
  }
  return found;
}
