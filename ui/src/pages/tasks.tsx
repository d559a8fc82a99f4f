import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { api, got, Refused } from "../api/client";
import type { Change, Recorded, Task } from "../api/types";
import { stream, useStream } from "../live";
import { type Filter, LIST_TYPES, type Source, TaskList } from "../live/tasks";
import { line } from "../live/text";
import { Age } from "../parts/age";
import { Failure } from "../parts/shell";
import { StatusWord } from "../parts/status";
import { useTitle } from "../parts/title";
import { useProjects } from "../queries";

export const STATUSES = ["queued", "running", "needs you", "review", "done", "failed", "cancelled", "unknown"] as const;
type Word = (typeof STATUSES)[number];
export interface TasksSearch {
  status?: Word;
  project?: string;
}

const source: Source = {
  page: ({ status, project }, after, limit) =>
    got(
      api.GET("/api/v1/tasks", {
        params: { query: { limit, ...(after && { after }), ...(status && { status: status as Word }), ...(project && { project }) } },
      }),
    ),
  task: (id) =>
    got(api.GET("/api/v1/tasks/{id}", { params: { path: { id } } })).catch((error: unknown) => {
      if (error instanceof Refused && error.status < 500) return null;
      throw error;
    }),
};

const COLUMNS = "md:grid-cols-[7.5rem_minmax(0,1fr)_9rem_8rem_5rem_8rem]";

export function Tasks() {
  const { status, project } = useSearch({ from: "/" });
  const filter = useMemo<Filter>(() => ({ ...(status && { status }), ...(project && { project }) }), [status, project]);
  const list = useTaskList(filter);
  useTitle("Tasks");
  return (
    <>
      <h1 className="sr-only">Tasks</h1>
      <Filters status={status} project={project} />
      <Rows list={list} filtered={Boolean(status || project)} />
    </>
  );
}

function useTaskList(filter: Filter): TaskList {
  const list = useMemo(() => new TaskList(source, filter), [filter]);
  const cache = useQueryClient();
  const load = () => void stream.place().then(() => list.load(), () => list.load());
  useEffect(() => {
    load();
    // A safety net below the stream, slow on purpose.
    const net = setInterval(() => document.hidden || void list.top().catch(() => undefined), 60_000);
    return () => {
      clearInterval(net);
      list.end();
    };
  }, [list]);
  useStream(JSON.stringify(filter), {
    topics: ["events"],
    types: LIST_TYPES,
    events: (events) => {
      for (const { event } of events as Recorded[]) {
        if (event.type === "change.drafted") cache.setQueryData(["change", event.change.id], event.change);
      }
      list.hear(events);
    },
    resync: load,
  });
  return list;
}

function Filters({ status, project }: { status: Word | undefined; project: string | undefined }) {
  const navigate = useNavigate({ from: "/" });
  const projects = useProjects();
  const change = (name: keyof TasksSearch) => (event: { target: { value: string } }) =>
    void navigate({ search: (before: TasksSearch) => ({ ...before, [name]: event.target.value || undefined }) as TasksSearch });
  return (
    <form className="flex flex-wrap items-center gap-x-4 gap-y-2 border-b border-line px-4 py-2" onSubmit={(event) => event.preventDefault()}>
      <label className="flex items-center gap-2">
        Status
        <select className="field" value={status ?? ""} onChange={change("status")}>
          <option value="">all</option>
          {STATUSES.map((word) => (
            <option key={word}>{word}</option>
          ))}
        </select>
      </label>
      <label className="flex min-w-0 items-center gap-2">
        Project
        <select className="field max-w-48" value={project ?? ""} onChange={change("project")}>
          <option value="">all</option>
          {projects.data?.map(({ id, name }) => (
            <option key={id} value={id}>
              {line(name)}
            </option>
          ))}
        </select>
      </label>
    </form>
  );
}

function Rows({ list, filtered }: { list: TaskList; filtered: boolean }) {
  const { ids, next, loading, loaded, failed } = useSyncExternalStore(list.state.subscribe, list.state.get);
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: ids.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => (window.innerWidth < 768 ? 64 : 40),
    getItemKey: (index) => ids[index]!,
    overscan: 12,
  });
  if (!loaded) {
    return failed ? <Failure error={failed} retry={() => void list.load()} /> : <p className="p-4 text-muted">Loading …</p>;
  }
  if (ids.length === 0) return <Nothing filtered={filtered} />;
  return (
    <div ref={scroller} className="min-h-0 flex-1 overflow-y-auto contain-strict" tabIndex={0} role="region" aria-label="List of tasks">
      <div role="table" aria-label="Tasks" aria-rowcount={next === null ? ids.length + 1 : -1}>
        <div role="rowgroup" className="hidden border-b border-line md:block">
          <div role="row" className={`grid gap-x-4 px-4 py-1.5 text-muted ${COLUMNS}`}>
            {["Status", "Title", "Project", "Agent", "Age", "Change"].map((name) => (
              <span role="columnheader" key={name}>
                {name}
              </span>
            ))}
          </div>
        </div>
        <div role="rowgroup" className="relative" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((item) => (
            <div
              key={item.key}
              ref={rows.measureElement}
              data-index={item.index}
              role="row"
              aria-rowindex={item.index + 2}
              className="absolute top-0 left-0 w-full border-b border-line"
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <Row list={list} id={ids[item.index]!} />
            </div>
          ))}
        </div>
      </div>
      {failed ? <Failure error={failed} retry={() => void list.load()} /> : null}
      {next !== null && (
        <div className="p-4">
          <button type="button" className="button" disabled={loading} onClick={() => void list.more()}>
            Load more
          </button>
        </div>
      )}
    </div>
  );
}

const Row = memo(function Row({ list, id }: { list: TaskList; id: string }) {
  const doc = list.doc(id);
  const task = useSyncExternalStore(doc.subscribe, doc.get);
  return (
    <div
      className={`relative grid grid-cols-[auto_minmax(0,1fr)_auto] items-center gap-x-3 px-4 py-2 hover:bg-sunk md:gap-x-4 ${COLUMNS}`}
      data-task={task.id}
    >
      <span role="cell">
        <StatusWord word={task.status.word} />
      </span>
      <span role="cell" className="order-first col-span-3 truncate md:order-none md:col-span-1">
        <Link to="/tasks/$id" params={{ id: task.id }} className="after:absolute after:inset-0 focus-visible:after:outline-2 focus-visible:after:outline-accent">
          {line(task.title) || "(no title)"}
        </Link>
      </span>
      <span role="cell" className="truncate text-muted max-md:hidden">
        <ProjectName task={task} />
      </span>
      <span role="cell" className="truncate text-muted max-md:text-right">
        {line(task.agent)}
      </span>
      <span role="cell" className="text-muted whitespace-nowrap">
        <Age of={task.created_at} />
      </span>
      <span role="cell" className="whitespace-nowrap max-md:hidden">
        {task.change_id && <ChangeSize id={task.change_id} />}
      </span>
    </div>
  );
});

function ProjectName({ task }: { task: Task }) {
  const projects = useProjects();
  return <>{line(projects.data?.find(({ id }) => id === task.project_id)?.name ?? "")}</>;
}

function ChangeSize({ id }: { id: string }) {
  const { data } = useQuery({
    queryKey: ["change", id],
    queryFn: () => got(api.GET("/api/v1/changes/{id}", { params: { path: { id } } })),
    staleTime: Number.POSITIVE_INFINITY,
  });
  return data ? <Size change={data} /> : null;
}

export function Size({ change }: { change: Change }) {
  return (
    <span>
      <span className="text-(--add-fg)">+{change.additions}</span> <span className="text-(--del-fg)">−{change.deletions}</span>{" "}
      <span className="text-muted">
        in {change.files} {change.files === 1 ? "file" : "files"}
      </span>
    </span>
  );
}

function Nothing({ filtered }: { filtered: boolean }) {
  if (filtered) return <p className="p-4 text-muted">No task fits.</p>;
  return (
    <div className="p-4">
      <p>No tasks yet. Open one from a terminal, inside a checkout of yours:</p>
      <pre className="code mt-2 w-fit rounded bg-sunk px-3 py-2">podium run "fix the failing test"</pre>
    </div>
  );
}
