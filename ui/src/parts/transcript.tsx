import { useVirtualizer } from "@tanstack/react-virtual";
import { useLayoutEffect, useRef, useState, useSyncExternalStore } from "react";
import { visible } from "../live/text";
import type { Transcript } from "../live/transcript";
import { BlockView } from "./block";
import { Failure } from "./shell";

/** Within so many pixels of the end counts as reading the end. */
const NEAR = 40;

/** The window's blocks, drawn only where they are seen. At the end it follows; scrolled up it stays. */
export function TranscriptView({ transcript }: { transcript: Transcript }) {
  const { blocks, loaded, loading, complete, unseen, failed } = useSyncExternalStore(
    transcript.state.subscribe,
    transcript.state.get,
  );
  const scroller = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState<number | null>(null);
  const rows = useVirtualizer({
    count: blocks.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 34,
    getItemKey: (index) => blocks[index]!.seq,
    overscan: 10,
    anchorTo: "end",
    scrollEndThreshold: NEAR,
  });
  const last = blocks.at(-1)?.seq ?? 0;

  const size = rows.getTotalSize();
  const before = useRef({ top: 0, size: 0 });

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element && transcript.following) element.scrollTop = element.scrollHeight;
  }, [loaded, last, size, transcript]);

  function scrolled(): void {
    const element = scroller.current!;
    const { scrollTop: top, scrollHeight } = element;
    const atEnd = scrollHeight - top - element.clientHeight <= NEAR;
    // Only a reader goes up. That it is not the end any more is also so when much has come at once, and that
    // it stands higher also when what was above it went.
    const wentUp = top < before.current.top - 1 && scrollHeight >= before.current.size;
    before.current = { top, size: scrollHeight };
    if (atEnd || wentUp) transcript.following = atEnd;
    setSeen(transcript.following ? null : (known) => known ?? last);
    if (top < 400 && !transcript.following) void transcript.older();
  }

  const fresh = seen === null ? 0 : blocks.reduceRight((count, block) => (block.seq > seen ? count + 1 : count), 0);
  const news = fresh + unseen;
  async function toEnd(): Promise<void> {
    transcript.following = true;
    setSeen(null);
    if (unseen > 0) await transcript.tail();
    else scroller.current!.scrollTop = scroller.current!.scrollHeight;
  }

  if (!loaded) {
    return failed ? <Failure error={failed} retry={() => void transcript.tail()} /> : <p className="p-4 text-muted">Loading …</p>;
  }
  return (
    <div className="relative flex min-h-0 flex-1 flex-col">
      <div
        ref={scroller}
        onScroll={scrolled}
        className="min-h-0 flex-1 overflow-x-hidden overflow-y-auto [overflow-anchor:none] contain-strict"
        tabIndex={0}
        role="log"
        aria-label="Transcript"
        aria-live="off"
        data-testid="transcript"
      >
        {complete ? (
          <p className="px-4 pt-3 text-muted">The beginning.</p>
        ) : (
          <div className="px-4 pt-3">
            <button type="button" className="button" disabled={loading !== null} onClick={() => void transcript.older()}>
              Load earlier
            </button>
          </div>
        )}
        <div className="relative" style={{ height: size }}>
          {rows.getVirtualItems().map((item) => (
            <div
              key={item.key}
              ref={rows.measureElement}
              data-index={item.index}
              data-seq={blocks[item.index]!.seq}
              className="absolute top-0 left-0 w-full px-4 py-1.5"
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <div className="max-w-5xl">
                <BlockView block={blocks[item.index]!} />
              </div>
            </div>
          ))}
        </div>
        {failed ? <Failure error={failed} retry={() => void transcript.tail()} /> : null}
      </div>
      <Saying transcript={transcript} />
      {news > 0 && (
        <button type="button" className="button button-main absolute right-4 bottom-3 shadow" onClick={() => void toEnd()}>
          {news.toLocaleString()} new ↓
        </button>
      )}
    </div>
  );
}

/** Text while it is being said: the end of it, until the event comes that has the whole. */
function Saying({ transcript }: { transcript: Transcript }) {
  const pieces = useSyncExternalStore(transcript.saying.subscribe, transcript.saying.get);
  const last = pieces.at(-1);
  if (!last) return null;
  const text = visible(last.text).trimEnd();
  return (
    <div className="max-h-40 shrink-0 overflow-hidden border-t border-line px-4 py-2" data-testid="saying">
      <div className={`text-plain flex max-h-36 flex-col justify-end ${last.thought ? "text-muted italic" : ""}`}>
        <span>{text.slice(-2_000)}</span>
      </div>
    </div>
  );
}
