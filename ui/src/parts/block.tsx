import { memo, useState } from "react";
import type { Block } from "../live/blocks";
import { pretty, told, whatOf } from "../live/effects";
import { brief, line, visible } from "../live/text";
import { Folded } from "./folded";
import { clock } from "./status";

/** One block of a transcript. Agents' text is text: no Markdown, no links, no HTML. */
export const BlockView = memo(function BlockView({ block }: { block: Block }) {
  const inside = <Content block={block} />;
  if (block.depth === 0) return inside;
  return (
    <div className="flex" data-depth={block.depth}>
      {Array.from({ length: Math.min(block.depth, 6) }, (_, level) => (
        <span key={level} className="mr-3 w-px shrink-0 bg-strong" aria-hidden="true" />
      ))}
      <span className="sr-only">sub-agent: </span>
      <div className="min-w-0 flex-1">{inside}</div>
    </div>
  );
});

function Content({ block }: { block: Block }) {
  switch (block.kind) {
    case "said":
      return <LongText text={block.text} />;
    case "thought":
      return <Thought text={block.text} />;
    case "tool":
      return <Tool block={block} />;
    case "asked":
      return <Asked block={block} />;
    case "message":
      return <Said block={block} />;
    case "check":
      return (
        <p>
          <b>check</b> {line(block.name)}: <span className={VERDICTS[block.verdict] ?? ""}>{line(block.verdict)}</span>{" "}
          <span className="text-muted">{line(block.detail)}</span>
        </p>
      );
    case "notice":
      return (
        <p className={`overflow-wrap-anywhere ${block.loud ? "text-(--state-needs-you)" : "text-muted"}`}>
          · {brief(block.text).slice(0, 2_000)} <Moment at={block.at} />
        </p>
      );
    case "ended":
      return (
        <p className="overflow-wrap-anywhere">
          <b>task {line(block.word)}</b> {line(block.text)} <Moment at={block.at} />
        </p>
      );
  }
}

const VERDICTS: Record<string, string> = {
  pass: "text-(--state-done)",
  fail: "text-(--state-failed)",
  cannot_tell: "text-(--state-unknown)",
};
const LONG = 20_000;

function LongText({ text }: { text: string }) {
  const clean = visible(text).trimEnd();
  if (clean.length > LONG) return <Folded text={text} />;
  return <div className="text-plain">{clean}</div>;
}

function Moment({ at }: { at: string }) {
  return (
    <time dateTime={at} className="text-muted">
      {clock(at)}
    </time>
  );
}

function Thought({ text }: { text: string }) {
  const [open, setOpen] = useState(false);
  const first = line(text.slice(0, 300));
  return (
    <div className="text-muted italic">
      <button type="button" className="flex w-full min-w-0 gap-2 text-left" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span aria-hidden="true">{open ? "▾" : "▸"}</span>
        <span className="shrink-0">thought</span>
        {!open && <span className="truncate">{first}</span>}
      </button>
      {open && <div className="text-plain pl-5">{visible(text).trimEnd().slice(0, 200_000)}</div>}
    </div>
  );
}

function Tool({ block }: { block: Extract<Block, { kind: "tool" }> }) {
  const [open, setOpen] = useState(false);
  const { name, input, output, failed } = block;
  return (
    <div>
      <button type="button" className="flex w-full min-w-0 gap-2 text-left" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span aria-hidden="true" className="text-accent">
          {open ? "▾" : "▸"}
        </span>
        <span className="max-w-[40%] shrink-0 truncate font-medium text-accent">{line(name) || "(tool called before)"}</span>
        <span className="code min-w-0 flex-1 truncate">{told(input).slice(0, 500)}</span>
        {output === null && <span className="text-muted">…</span>}
        {failed && <span className="text-danger">error</span>}
      </button>
      {open && <Folded className="pl-5" quiet text={pretty(input)} />}
      {output !== null &&
        (output.trim() ? (
          <Folded className={`pl-5 ${failed ? "text-danger" : ""}`} quiet={!failed} text={output} />
        ) : (
          open && <p className="pl-5 text-muted">(no output)</p>
        ))}
    </div>
  );
}

function Asked({ block }: { block: Extract<Block, { kind: "asked" }> }) {
  const { inquiry, answer, over } = block;
  return (
    <div className="panel px-3 py-2">
      <p className="overflow-wrap-anywhere">
        <b className="text-(--state-needs-you)">asks</b> <span className="code">{whatOf(inquiry.effect)}</span>{" "}
        <span className="text-muted">risk {line(inquiry.risk)}</span>
      </p>
      {answer && (
        <p className="overflow-wrap-anywhere">
          <b className={answer.decision === "allow" ? "text-(--state-done)" : "text-(--state-failed)"}>
            {answer.decision === "allow" ? "✓ allowed" : "✕ denied"}
          </b>{" "}
          by {line(answer.by)}
          {answer.reason && `: ${line(answer.reason)}`}
        </p>
      )}
      {over !== null && <p className="text-muted">no longer asked: {line(over)}</p>}
    </div>
  );
}

function Said({ block }: { block: Extract<Block, { kind: "message" }> }) {
  const { message, became, why } = block;
  return (
    <div className="border-l-2 border-accent pl-3">
      <p className="text-muted">
        <b className="text-accent">{line(message.by)}</b> ({line(message.mode)}) {line(became)} {line(why)}
      </p>
      {message.text && <div className="text-plain">{visible(message.text).trim()}</div>}
    </div>
  );
}
