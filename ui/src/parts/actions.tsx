import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { api, got, key, told } from "../api/client";
import type { ShownTask } from "../api/types";
import { useMay } from "../session";

type Work = () => Promise<unknown>;

/** Busy while it works; says what was refused. Returns whether it worked. */
function useAction() {
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState("");
  async function act(work: Work): Promise<boolean> {
    setBusy(true);
    setFailed("");
    try {
      await work();
      return true;
    } catch (error) {
      setFailed(told(error));
      return false;
    } finally {
      setBusy(false);
    }
  }
  return { busy, failed, act };
}

/** What a person can do with a task. The server decides what is possible, and says so when it is not. */
export function Actions({ task, open }: { task: ShownTask; open: boolean }) {
  const { busy, failed, act } = useAction();
  const [asked, setAsked] = useState<"cancel" | "model" | null>(null);
  const navigate = useNavigate();
  const mayWork = useMay("work");
  const maySteer = useMay("steer");
  const path = { id: task.id };

  const cancel = () =>
    act(() => got(api.POST("/api/v1/tasks/{id}/cancel", { params: { path, header: key() }, body: { reason: "" } })));
  const interrupt = () =>
    act(() => got(api.POST("/api/v1/tasks/{id}/interrupt", { params: { path, header: key() }, body: { text: "" } })));
  const retry = () =>
    act(async () => {
      const again = await got(api.POST("/api/v1/tasks/{id}/retry", { params: { path, header: key() } }));
      await navigate({ to: "/tasks/$id", params: { id: again.id } });
    });

  if (!mayWork && !(maySteer && open)) return null;
  return (
    <div className="flex flex-wrap items-center gap-2">
      {open && maySteer && (
        <>
          <button type="button" className="button" disabled={busy} onClick={() => void interrupt()}>
            Interrupt
          </button>
          <button type="button" className="button" aria-expanded={asked === "model"} onClick={() => setAsked(asked === "model" ? null : "model")}>
            Model
          </button>
        </>
      )}
      {open && mayWork && (
        <button type="button" className="button button-danger" aria-expanded={asked === "cancel"} onClick={() => setAsked("cancel")}>
          Cancel
        </button>
      )}
      {!open && mayWork && (
        <button type="button" className="button" disabled={busy} onClick={() => void retry()}>
          Retry
        </button>
      )}
      {asked === "cancel" && open && (
        <span className="flex flex-wrap items-center gap-2" role="group" aria-label="Cancel the task">
          End this task? Its work so far is kept.
          <button
            type="button"
            className="button button-danger"
            disabled={busy}
            autoFocus
            onClick={() => void cancel().then((worked) => worked && setAsked(null))}
          >
            Cancel the task
          </button>
          <button type="button" className="button" onClick={() => setAsked(null)}>
            Keep it
          </button>
        </span>
      )}
      {asked === "model" && open && <Model id={task.id} done={() => setAsked(null)} />}
      {failed && (
        <p role="alert" className="w-full text-danger">
          {failed}
        </p>
      )}
    </div>
  );
}

function Model({ id, done }: { id: string; done: () => void }) {
  const { busy, failed, act } = useAction();
  const [model, setModel] = useState("");
  async function submit(event: FormEvent) {
    event.preventDefault();
    const params = { path: { id }, header: key() };
    if (await act(() => got(api.POST("/api/v1/tasks/{id}/model", { params, body: { model } })))) done();
  }
  return (
    <form className="flex flex-wrap items-center gap-2" onSubmit={(event) => void submit(event)}>
      <label className="flex items-center gap-2">
        Go on with model
        <input className="field w-44" value={model} onChange={(event) => setModel(event.target.value)} required autoFocus maxLength={200} />
      </label>
      <button type="submit" className="button" disabled={busy}>
        Set
      </button>
      {failed && (
        <p role="alert" className="text-danger">
          {failed}
        </p>
      )}
    </form>
  );
}

/** Words for the agent. What became of them shows in the transcript. */
export function Compose({ id }: { id: string }) {
  const { busy, failed, act } = useAction();
  const [text, setText] = useState("");
  const maySteer = useMay("steer");
  async function submit() {
    if (!text.trim() || busy) return;
    const params = { path: { id }, header: key() };
    if (await act(() => got(api.POST("/api/v1/tasks/{id}/messages", { params, body: { text, mode: null } })))) setText("");
  }
  if (!maySteer) return null;
  return (
    <form
      className="shrink-0 border-t border-line bg-sunk px-4 py-2"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <div className="flex items-end gap-2">
        <label className="min-w-0 flex-1">
          <span className="sr-only">Message to the agent</span>
          <textarea
            className="field block max-h-40 w-full resize-none field-sizing-content"
            rows={1}
            value={text}
            placeholder="Tell the agent …"
            onChange={(event) => setText(event.target.value)}
            onKeyDown={(event) => {
              if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) {
                event.preventDefault();
                void submit();
              }
            }}
          />
        </label>
        <button type="submit" className="button button-main" disabled={busy || !text.trim()} title="Ctrl Enter">
          Send
        </button>
      </div>
      {failed && (
        <p role="alert" className="mt-1 text-danger">
          {failed}
        </p>
      )}
    </form>
  );
}
