import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { api, got, Refused } from "../api/client";
import type { Recorded, Run, ShownTask, Usage } from "../api/types";
import { stream, useStream } from "../live";
import { BLOCK_TYPES } from "../live/blocks";
import { line, visible } from "../live/text";
import { Transcript } from "../live/transcript";
import { Actions, Compose } from "../parts/actions";
import { Age } from "../parts/age";
import { Folded } from "../parts/folded";
import { InquiryCard } from "../parts/inquiry";
import { Failure } from "../parts/shell";
import { StatusFull } from "../parts/status";
import { useTitle } from "../parts/title";
import { TranscriptView } from "../parts/transcript";
import { changeQuery, inquiriesQuery, runQuery, taskQuery, useProjects } from "../queries";
import { Size } from "./tasks";

const Changes = lazy(() => import("./changes"));

export interface TaskSearch {
  tab?: "changes";
}

export function TaskPage() {
  const { id } = useParams({ from: "/tasks/$id" });
  return <One key={id} id={id} />;
}

function One({ id }: { id: string }) {
  const { tab } = useSearch({ from: "/tasks/$id" });
  const transcript = useTranscript(id);
  const task = useQuery({
    ...taskQuery(id),
    // That a worker has fallen silent is no event: it shows in the status when that is asked for.
    refetchInterval: ({ state }) => (state.data && isOpen(state.data) ? 30_000 : false),
  });
  useTitle(task.data ? `${task.data.status.word}: ${line(task.data.title)}` : "Task");
  if (task.isPending) return <p className="p-4 text-muted">Loading …</p>;
  if (task.isError && !task.data) {
    const gone = task.error instanceof Refused && task.error.status === 404;
    return (
      <>
        <h1 className="px-4 pt-3 text-lg font-semibold">Task</h1>
        <Failure error={task.error} {...(!gone && { retry: () => void task.refetch() })} />
      </>
    );
  }
  return (
    <>
      <Head task={task.data} />
      <nav aria-label="Parts of the task" className="flex shrink-0 gap-1 border-b border-line px-4">
        <Tab id={id} is={undefined} name="Transcript" shown={tab} />
        <Tab id={id} is="changes" name="Changes" shown={tab} />
      </nav>
      <div className="flex min-h-72 flex-1 flex-col">
        {tab === "changes" ? (
          <Suspense fallback={<p className="p-4 text-muted">Loading …</p>}>
            <Changes task={task.data} />
          </Suspense>
        ) : (
          <TranscriptView transcript={transcript} />
        )}
      </div>
      {isOpen(task.data) && <Compose id={id} />}
    </>
  );
}

/** Whether there is still somebody to talk to; read off the task's own terminal states. */
function isOpen(task: ShownTask): boolean {
  return !["done", "failed", "cancelled"].includes(task.state.word);
}

function Tab({ id, is, name, shown }: { id: string; is: "changes" | undefined; name: string; shown: string | undefined }) {
  const current = is === shown;
  return (
    <Link
      to="/tasks/$id"
      params={{ id }}
      search={is ? { tab: is } : {}}
      replace
      aria-current={current ? "page" : undefined}
      className={`-mb-px border-b-2 px-3 py-1.5 ${current ? "border-accent font-semibold" : "border-transparent text-muted hover:text-fg"}`}
    >
      {name}
    </Link>
  );
}

/** The transcript of a task, kept by the stream; everything else about it is asked for again when it moved. */
function useTranscript(id: string): Transcript {
  const cache = useQueryClient();
  const transcript = useMemo(
    () =>
      new Transcript({
        place: () => stream.place(),
        before: (before, limit) =>
          got(api.GET("/api/v1/events", { params: { query: { before, limit, task: id, type: BLOCK_TYPES.join(",") } } })),
      }),
    [id],
  );
  const settle = useRef<ReturnType<typeof setTimeout>>(undefined);
  const refresh = () => {
    settle.current ??= setTimeout(() => {
      settle.current = undefined;
      for (const name of ["task", "inquiries"]) void cache.invalidateQueries({ queryKey: [name, id] });
      void cache.invalidateQueries({ queryKey: ["run"] });
      void cache.invalidateQueries({ queryKey: ["change"], refetchType: "active" });
    }, 100);
  };
  useEffect(() => {
    void transcript.tail();
    refresh();
    return () => clearTimeout(settle.current);
  }, [transcript]);
  useStream(id, {
    topics: [`task:${id}`],
    partial: true,
    events: (events, cursor) => {
      transcript.hear(events, cursor);
      if (events.some(moves)) refresh();
    },
    piece: (piece) => transcript.hearPiece(piece),
    resync: () => {
      void transcript.tail();
      refresh();
    },
  });
  return transcript;
}

const TALK = new Set(["run.said", "run.thought", "run.tool_called", "run.tool_returned", "run.noticed"]);

function moves({ event }: Recorded): boolean {
  return !TALK.has(event.type);
}

function Head({ task }: { task: ShownTask }) {
  const run = useQuery({ ...runQuery(task.run_id ?? ""), enabled: task.run_id !== null }).data;
  const inquiries = useQuery(inquiriesQuery(task.id)).data ?? [];
  return (
    <div className="flex shrink-0 flex-col gap-2 px-4 py-3">
      <h1 className="overflow-wrap-anywhere text-lg font-semibold">{line(task.title) || "(no title)"}</h1>
      <StatusFull status={task.status} />
      <Facts task={task} run={run} />
      <Actions task={task} open={isOpen(task)} />
      {inquiries.map((inquiry) => (
        <InquiryCard key={inquiry.id} inquiry={inquiry} />
      ))}
      <Prompt text={task.prompt} title={task.title} />
    </div>
  );
}

function Prompt({ text, title }: { text: string; title: string }) {
  if (visible(text).trim() === visible(title).trim()) return null;
  return (
    <details>
      <summary className="min-h-6 w-fit text-muted">Prompt</summary>
      <Folded className="mt-1 max-h-60 overflow-y-auto rounded bg-sunk px-3 py-2" text={text} />
    </details>
  );
}

function Facts({ task, run }: { task: ShownTask; run: Run | undefined }) {
  const project = useProjects().data?.find(({ id }) => id === task.project_id);
  const change = useQuery({ ...changeQuery(task.change_id ?? ""), enabled: task.change_id !== null }).data;
  const model = run?.agent.model;
  const [all, setAll] = useState(false);
  // A phone shows what matters first, the rest when asked.
  const more = all ? "flex" : "max-md:hidden md:flex";
  return (
    <dl className="flex flex-wrap items-baseline gap-x-6 gap-y-1">
      <Fact name="Agent">
        {line(task.agent)}
        {model && ` (${line(model)})`}
      </Fact>
      {project && <Fact name="Project">{line(project.name)}</Fact>}
      {change && (
        <Fact name="Change">
          <Size change={change} />
        </Fact>
      )}
      <Fact name="Opened">
        <Age of={task.created_at} /> ago
      </Fact>
      {run && (
        <Fact name="Usage" className={more}>
          {usage(run.usage)}
        </Fact>
      )}
      {run?.branch && (
        <Fact name="Branch" className={more}>
          {line(run.branch)}
        </Fact>
      )}
      {run && run.attempt > 1 && (
        <Fact name="Attempt" className={more}>
          {run.attempt}
        </Fact>
      )}
      {run?.isolation && (
        <Fact name="Isolation" className={more}>
          {line(run.isolation)}
        </Fact>
      )}
      {task.retry_of && (
        <Fact name="Retry of" className={more}>
          <Link to="/tasks/$id" params={{ id: task.retry_of }} className="text-accent underline">
            {task.retry_of.slice(-6)}
          </Link>
        </Fact>
      )}
      <Fact name="Id" className={more}>
        <span className="code" title={task.id}>
          {task.id.slice(-6)}
        </span>
      </Fact>
      <div className="md:hidden">
        <dt className="sr-only">Details</dt>
        <dd>
          <button type="button" className="text-accent underline" aria-expanded={all} onClick={() => setAll(!all)}>
            {all ? "less" : "more"}
          </button>
        </dd>
      </div>
    </dl>
  );
}

function Fact({ name, children, className = "flex" }: { name: string; children: ReactNode; className?: string }) {
  return (
    <div className={`min-w-0 gap-1.5 ${className}`}>
      <dt className="text-muted">{name}</dt>
      <dd className="overflow-wrap-anywhere min-w-0">{children}</dd>
    </div>
  );
}

/** A cost that is not known is a dash, never 0. */
function usage({ input_tokens, output_tokens, cost_usd }: Usage): string {
  const cost = cost_usd === null ? "cost —" : `${cost_usd.toFixed(4)} USD`;
  return `${input_tokens.toLocaleString()} in, ${output_tokens.toLocaleString()} out, ${cost}`;
}
