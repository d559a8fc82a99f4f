import { useQuery } from "@tanstack/react-query";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import { Decoration, Diff, Hunk } from "react-diff-view";
import { api, Refused, told } from "../api/client";
import type { ShownTask } from "../api/types";
import { first, read, type ShownFile } from "../live/diff";
import { Age } from "../parts/age";
import { Folded } from "../parts/folded";
import { Failure } from "../parts/shell";
import { changeQuery } from "../queries";
import "./changes.css";

interface Fetched {
  patch: string;
  truncated: boolean;
  /** When it was true (ms). */
  at: number;
  /** Why it is not newer. */
  old: string;
}

/** The diff of a task: live while its agent works, its change's afterwards. */
export default function Changes({ task }: { task: ShownTask }) {
  const change = useQuery({ ...changeQuery(task.change_id ?? ""), enabled: task.change_id !== null }).data;
  const live = task.change_id === null;
  const diff = useQuery({
    queryKey: ["diff", task.change_id ?? task.run_id],
    queryFn: () => fetchDiff(task),
    enabled: task.run_id !== null,
    staleTime: live ? 0 : Number.POSITIVE_INFINITY,
  });
  if (task.run_id === null) return <p className="p-4 text-muted">No run has begun, so nothing is changed.</p>;
  if (diff.isPending) return <p className="p-4 text-muted">Loading …</p>;
  if (diff.isError && diff.error instanceof Refused && diff.error.status === 404) {
    return <p className="p-4 text-muted">It ended without a change.</p>;
  }
  if (!diff.data) return <Failure error={diff.error} retry={() => void diff.refetch()} />;
  const address = change ? `/api/v1/changes/${change.id}/diff` : `/api/v1/runs/${task.run_id}/diff`;
  return (
    <div className="min-h-0 flex-1 overflow-y-auto px-4 py-3" tabIndex={0} role="region" aria-label="Changes">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        {live && (
          <>
            <button type="button" className="button" disabled={diff.isFetching} onClick={() => void diff.refetch()}>
              Refresh
            </button>
            <span className="text-muted">
              as it was <Age of={diff.data.at} /> ago
            </span>
          </>
        )}
        <a className="text-accent underline" href={address} download={`${change?.id ?? task.run_id}.diff`}>
          Download the diff
        </a>
        {change && (
          <a className="text-accent underline" href={`/api/v1/changes/${change.id}/bundle`} download>
            Download the commits
          </a>
        )}
      </div>
      {diff.isError && <Failure error={diff.error} />}
      {diff.data.old && (
        <p role="alert" className="mt-2 border border-warn-line bg-warn px-3 py-1">
          {diff.data.old}
        </p>
      )}
      <Files patch={diff.data.patch} truncated={diff.data.truncated} whole={change !== undefined} />
    </div>
  );
}

async function fetchDiff(task: ShownTask): Promise<Fetched> {
  const asked = task.change_id
    ? api.GET("/api/v1/changes/{id}/diff", { params: { path: { id: task.change_id } }, parseAs: "text" })
    : api.GET("/api/v1/runs/{id}/diff", { params: { path: { id: task.run_id! } }, parseAs: "text" });
  const { data, error, response } = await asked;
  if (response.ok) {
    const truncated = response.headers.get("podium-truncated") === "true";
    return { patch: String(data ?? ""), truncated, at: Date.now(), old: "" };
  }
  const refused = new Refused(response.status, (error as { error?: object } | undefined)?.error ?? {});
  const { snapshot, age_s } = refused.details;
  if (typeof snapshot !== "string") throw refused;
  // Its worker does not answer; this is what was seen last.
  return { patch: snapshot, truncated: false, at: Date.now() - Number(age_s) * 1000, old: told(refused) };
}

function Files({ patch, truncated, whole }: { patch: string; truncated: boolean; whole: boolean }) {
  const { files, cut, raw } = useMemo(() => read(patch), [patch]);
  const list = useRef<HTMLDivElement>(null);
  if (raw !== null) return <Folded className="mt-3" text={raw} />;
  if (files.length === 0) return <p className="mt-3 text-muted">Nothing is changed.</p>;
  const show = (index: number) => list.current?.children[index]?.scrollIntoView({ block: "start" });
  return (
    <>
      {(truncated || cut) && (
        <p role="note" className="mt-2 border border-warn-line bg-warn px-3 py-1" data-testid="cut">
          This diff is too long to be shown whole: this is its beginning.{" "}
          {truncated ? (whole ? "The commits have all of it." : "The workspace has all of it.") : "The download has more of it."}
        </p>
      )}
      <details className="mt-2" open={files.length <= 30}>
        <summary className="min-h-6">
          {files.length} {files.length === 1 ? "file" : "files"}
        </summary>
        <ul aria-label="Changed files" className="mt-1 flex max-h-60 flex-col overflow-y-auto">
          {files.slice(0, 2_000).map((file, index) => (
            <li key={index}>
              <button type="button" className="code flex min-h-6 w-full items-center gap-3 px-1 text-left hover:bg-sunk" onClick={() => show(index)}>
                <span className="min-w-0 flex-1">{file.name}</span>
                <Counts file={file} />
              </button>
            </li>
          ))}
        </ul>
      </details>
      <div ref={list} className="mt-2 flex flex-col gap-3">
        {files.map((file, index) => (
          <File key={index} file={file} />
        ))}
      </div>
    </>
  );
}

function Counts({ file }: { file: ShownFile }) {
  return (
    <span className="shrink-0">
      {file.type !== "modify" && <span className="text-muted">{file.type} </span>}
      <span className="text-(--add-fg)">+{file.added}</span> <span className="text-(--del-fg)">−{file.removed}</span>
    </span>
  );
}

/** A file with more lines is folded, and drawn in steps. */
const STEP = 1_000;
const LINE_PX = 20;

const File = memo(function File({ file }: { file: ShownFile }) {
  const lines = file.hunks.reduce((sum, hunk) => sum + hunk.changes.length, 0);
  const [open, setOpen] = useState(lines <= STEP);
  const [drawn, setDrawn] = useState(STEP);
  const { ref, near } = useNear();
  const shown = useMemo(() => first(file.hunks, drawn), [file, drawn]);
  return (
    <section ref={ref} aria-label={file.name} className="panel overflow-hidden">
      <h2>
        <button type="button" className="code flex w-full gap-3 bg-sunk px-3 py-1.5 text-left font-semibold" aria-expanded={open} onClick={() => setOpen(!open)}>
          <span aria-hidden="true">{open ? "▾" : "▸"}</span>
          <span className="min-w-0 flex-1">{file.name}</span>
          <Counts file={file} />
        </button>
      </h2>
      {open && file.binary && <p className="px-3 py-1 text-muted">Binary.</p>}
      {open && !file.binary && lines === 0 && <p className="px-3 py-1 text-muted">No lines changed.</p>}
      {open && !near && <div style={{ height: Math.min(lines, drawn) * LINE_PX }} />}
      {open && near && lines > 0 && (
        <Diff viewType="unified" diffType={file.type} hunks={shown} className="diff">
          {(hunks) =>
            hunks.flatMap((hunk, index) => [
              <Decoration key={`at ${index}`}>
                <div className="code px-3 text-muted">{hunk.content}</div>
              </Decoration>,
              <Hunk key={index} hunk={hunk} />,
            ])
          }
        </Diff>
      )}
      {open && lines > drawn && (
        <button type="button" className="button m-2" onClick={() => setDrawn(drawn + STEP)}>
          Show {Math.min(STEP, lines - drawn).toLocaleString()} more lines of {(lines - drawn).toLocaleString()}
        </button>
      )}
    </section>
  );
});

/** Whether it has come near what is seen; then for good. */
function useNear() {
  const ref = useRef<HTMLElement>(null);
  const [near, setNear] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver(
      (seen) => {
        if (seen.some(({ isIntersecting }) => isIntersecting)) {
          setNear(true);
          observer.disconnect();
        }
      },
      { rootMargin: "600px" },
    );
    if (ref.current) observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return { ref, near };
}
