import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, got, key, told } from "../api/client";
import type { Inquiry } from "../api/types";
import { pretty } from "../live/effects";
import { exact, line } from "../live/text";
import { useMay } from "../session";
import { Age } from "./age";

/** What an agent asks, exactly, and the answer. Nothing of it is left away or obeyed. */
export function InquiryCard({ inquiry }: { inquiry: Inquiry }) {
  const { effect } = inquiry;
  const cache = useQueryClient();
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState("");
  const mayAnswer = useMay("answer");

  async function answer(decision: "allow" | "deny") {
    setBusy(true);
    setFailed("");
    try {
      const params = { path: { id: inquiry.id }, header: key() };
      await got(api.POST("/api/v1/inquiries/{id}/answer", { params, body: { decision, reason } }));
    } catch (error) {
      setFailed(told(error));
    }
    await cache.invalidateQueries({ queryKey: ["inquiries", inquiry.task_id] });
    setBusy(false);
  }

  return (
    <section aria-label="The agent asks" className="panel border-(--state-needs-you) p-3" data-inquiry={inquiry.id}>
      <h2 className="flex flex-wrap items-baseline gap-x-3 font-semibold">
        <span className="text-(--state-needs-you)">The agent asks</span>
        <span className="font-normal text-muted">
          {line(effect.tool)} · risk {inquiry.risk} · asked <Age of={inquiry.created_at} /> ago
        </span>
      </h2>
      {inquiry.why && <p className="overflow-wrap-anywhere">{line(inquiry.why)}</p>}
      {effect.command && <Exact name="command" text={effect.command} />}
      {(effect.paths ?? []).length > 0 && <Exact name="paths" text={effect.paths.map((path) => exact(path).replace(/\n/g, " ⏎ ")).join("\n")} />}
      {effect.diff && <Exact name="diff" text={effect.diff} />}
      {!effect.command && !effect.diff && <Exact name="input" text={pretty(effect.input ?? {})} />}
      {effect.cwd && <p className="code text-muted">in {exact(effect.cwd)}</p>}
      {effect.cut && <p>Parts are too long to be shown whole; the digest covers all of it.</p>}
      {mayAnswer ? (
        <form className="mt-2 flex flex-wrap items-center gap-2" onSubmit={(event) => event.preventDefault()}>
          <button type="button" className="button button-main" disabled={busy} onClick={() => void answer("allow")}>
            Allow
          </button>
          <button type="button" className="button button-danger" disabled={busy} onClick={() => void answer("deny")}>
            Deny
          </button>
          <label className="flex min-w-0 flex-1 items-center gap-2">
            <span className="text-muted">Reason</span>
            <input
              className="field w-full min-w-24"
              value={reason}
              maxLength={2000}
              onChange={(event) => setReason(event.target.value)}
              placeholder="told to the agent"
            />
          </label>
        </form>
      ) : (
        <p className="mt-2 text-muted">It waits for somebody who may answer.</p>
      )}
      {failed && (
        <p role="alert" className="mt-2 text-danger">
          {failed}
        </p>
      )}
    </section>
  );
}

function Exact({ name, text }: { name: string; text: string }) {
  return (
    <div className="mt-1.5">
      <p className="text-muted">{name}</p>
      <pre className="code max-h-60 overflow-y-auto rounded bg-sunk px-2 py-1" tabIndex={0} aria-label={name}>
        {exact(text)}
      </pre>
    </div>
  );
}
