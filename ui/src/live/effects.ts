/** What a tool call or an inquiry is about, in a line; as the command line tells it. */
import type { Effect } from "../api/types";
import { exact, line } from "./text";

/** Arguments of tools that tell most, the best first. */
const TELLING = ["command", "file_path", "path", "notebook_path", "pattern", "query", "url", "description", "prompt"];

export function telling(given: unknown): string {
  if (typeof given !== "object" || given === null || Array.isArray(given)) return JSON.stringify(given) ?? "";
  const args = given as Record<string, unknown>;
  for (const name of TELLING) {
    const value = args[name];
    if (typeof value === "string" && value.trim()) return value;
  }
  return Object.entries(args)
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("  ");
}

/** Every character visible. */
export function whatOf(effect: Effect): string {
  const one = (text: string) => exact(text).replace(/\n/g, " ⏎ ").replace(/\t/g, " ");
  const paths = (effect.paths ?? []).map((path) => one(path.startsWith(`${effect.cwd}/`) ? path.slice(effect.cwd.length + 1) : path));
  if (effect.kind === "command" && effect.command) return `$ ${one(effect.command)}`;
  if (effect.kind === "edit" && paths.length > 0) return `edit ${paths.join(", ")}`;
  return `${one(effect.tool)} ${one(effect.command || paths.join(", ") || telling(effect.input))}`.trim();
}

export function told(given: unknown): string {
  return line(telling(given));
}

export function pretty(value: unknown): string {
  return JSON.stringify(value, null, 2) ?? "";
}
