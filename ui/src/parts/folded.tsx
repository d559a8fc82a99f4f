import { useState } from "react";
import { visible } from "../live/text";

const LINES = 6;
const FOLDED_CHARS = 1_200;
/** Drawn at once: more of it only when asked for. */
const STEP = 100_000;

/** Text that may be long, as text and nothing else. */
export function Folded({ text, className = "", quiet = false }: { text: string; className?: string; quiet?: boolean }) {
  const [shown, setShown] = useState(0);
  const clean = visible(text).replace(/\n+$/, "");
  const { start, lines } = beginning(clean);
  const open = shown > 0;
  const drawn = open ? clean.slice(0, shown) : start;
  const rest = clean.length - drawn.length;
  return (
    <div className={className}>
      <div className={`code ${quiet ? "text-muted" : ""}`}>{drawn}</div>
      {rest > 0 && (
        <button type="button" className="mt-0.5 text-accent underline" onClick={() => setShown(shown + STEP)}>
          {open ? `show more (${rest.toLocaleString()} characters)` : lines > 0 ? `show ${lines} more lines` : "show all"}
        </button>
      )}
      {open && (
        <button type="button" className="mt-0.5 ml-3 text-accent underline" onClick={() => setShown(0)}>
          fold
        </button>
      )}
    </div>
  );
}

/** The first lines, and how many there are more. */
function beginning(text: string): { start: string; lines: number } {
  let end = -1;
  for (let count = 0; count < LINES; count++) {
    end = text.indexOf("\n", end + 1);
    if (end < 0) break;
  }
  const start = (end < 0 ? text : text.slice(0, end)).slice(0, FOLDED_CHARS);
  let lines = 0;
  for (let at = text.indexOf("\n", start.length); at >= 0; at = text.indexOf("\n", at + 1)) lines++;
  // One line more is shown sooner than it is asked for.
  return lines === 1 && text.length < FOLDED_CHARS ? { start: text, lines: 0 } : { start, lines };
}
