import type { ReactNode } from "react";
import type { Status } from "../api/types";
import { brief, line } from "../live/text";

/** Always icon and word and colour. A word that is not known here is shown as it is. */
const LOOKS: Record<string, { colour: string; icon: ReactNode }> = {
  queued: { colour: "text-(--state-queued)", icon: <circle cx="8" cy="8" r="5.5" /> },
  running: {
    colour: "text-(--state-running)",
    icon: (
      <>
        <circle cx="8" cy="8" r="5.5" />
        <path d="M8 2.500a5.500 5.500 0 0 1 0 11z" fill="currentColor" />
      </>
    ),
  },
  "needs you": { colour: "text-(--state-needs-you)", icon: <path d="M8 2.500 14 13.500H2z" fill="currentColor" /> },
  review: { colour: "text-(--state-review)", icon: <path d="M8 2l6 6-6 6-6-6z" fill="currentColor" /> },
  done: { colour: "text-(--state-done)", icon: <path d="m3 8.500 3.500 3.500L13 4.500" /> },
  failed: { colour: "text-(--state-failed)", icon: <path d="m4 4 8 8M12 4l-8 8" /> },
  cancelled: {
    colour: "text-(--state-cancelled)",
    icon: (
      <>
        <circle cx="8" cy="8" r="5.500" />
        <path d="m4.500 11.500 7-7" />
      </>
    ),
  },
  unknown: {
    colour: "text-(--state-unknown)",
    icon: <path d="M5.500 6a2.500 2.500 0 1 1 3.600 2.200C8.300 8.700 8 9.200 8 10M8 12.500v.6" />,
  },
};
const OTHER = { colour: "text-muted", icon: <circle cx="8" cy="8" r="2" fill="currentColor" /> };

export function StatusWord({ word }: { word: string }) {
  const { colour, icon } = LOOKS[word] ?? OTHER;
  return (
    <span className={`inline-flex items-center gap-1.5 font-medium whitespace-nowrap ${colour}`}>
      <svg
        viewBox="0 0 16 16"
        className="size-3.5 shrink-0"
        fill="none"
        stroke="currentColor"
        strokeWidth="2"
        strokeLinecap="round"
        strokeLinejoin="round"
        aria-hidden="true"
      >
        {icon}
      </svg>
      {word}
    </span>
  );
}

/** The word with its reason, and who said so when. */
export function StatusFull({ status }: { status: Status }) {
  const { evidence } = status;
  return (
    <div className="flex flex-wrap items-baseline gap-x-3 gap-y-0.5" data-testid="status">
      <StatusWord word={status.word} />
      {status.reason && status.reason !== status.word && <span>{line(status.reason)}</span>}
      <span className="text-muted">
        said by <span title={evidence.source}>{brief(evidence.source)}</span> at <time dateTime={evidence.at}>{clock(evidence.at)}</time>
        {evidence.detail && `: ${brief(evidence.detail)}`}
      </span>
    </div>
  );
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function clock(moment: string): string {
  const then = new Date(moment);
  return then.toDateString() === new Date().toDateString() ? CLOCK.format(then) : DAY.format(then);
}
