/**
 * Text of agents, made visible. It is shown as text nodes only; here every character that a browser would obey,
 * hide or reorder is spelled out, so that nothing is read (or approved) that does not stand there.
 */
// Controls but newline and tab; format characters (bidi, zero width); line and paragraph separators; surrogates
// without a partner; private use. Spaces that look like the plain one but are not.
const HIDDEN = /[^\P{C}\n\t]|[\u2028\u2029]/gu;
const ODD = /[^\P{C}\n\t]|[\u2028\u2029]|(?! )\p{Zs}/gu;
// What terminals are told: colours and the like say nothing here.
const ESCAPES = /\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])/g;
const EMOJI_JOINERS = /(?<=\p{Extended_Pictographic}\ufe0f?)\u200d(?=\p{Extended_Pictographic})/gu;
const KEPT = "\ue000";

function spelled(char: string): string {
  const number = char.codePointAt(0)!;
  if (number < 0x100) return `\\x${number.toString(16).padStart(2, "0")}`;
  if (number < 0x10000) return `\\u${number.toString(16).padStart(4, "0")}`;
  return `\\U${number.toString(16).padStart(8, "0")}`;
}

/** For reading: terminal colours left away, everything else that is odd spelled out. */
export function visible(text: string): string {
  return spell(text.replace(ESCAPES, "").replace(/\r\n/g, "\n"), HIDDEN);
}

/** For deciding: nothing left away, and no space that is not one. */
export function exact(text: string): string {
  return spell(text, ODD);
}

function spell(text: string, odd: RegExp): string {
  if (!/[^\n\t -~]/.test(text)) return text;
  return text
    .replace(new RegExp(KEPT, "g"), spelled)
    .replace(EMOJI_JOINERS, KEPT)
    .replace(odd, (char) => (char === KEPT ? "\u200d" : spelled(char)));
}

/** On one line. */
export function line(text: string): string {
  return visible(text).replace(/\s+/g, " ").trim();
}

/** On one line, ids by their ends: enough for a person to name them. */
export function brief(text: string): string {
  return line(text.replace(/\b(?:worker:)?([a-z]+)_[0-9a-hjkmnp-tv-z]{20}([0-9a-hjkmnp-tv-z]{6})\b/g, "$1 $2"));
}

/** `12 s`, `4 min`, `3 h`, `2 d`. */
export function span(seconds: number): string {
  const whole = Math.max(0, seconds);
  if (whole >= 86_400) return `${Math.floor(whole / 86_400)} d`;
  if (whole >= 3_600) return `${Math.floor(whole / 3_600)} h`;
  if (whole >= 60) return `${Math.floor(whole / 60)} min`;
  return `${Math.floor(whole)} s`;
}
