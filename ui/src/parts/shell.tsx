import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { told } from "../api/client";
import { useConnection } from "../live";
import { line } from "../live/text";
import { signOut } from "../login";
import { useSession } from "../session";
import { Age } from "./age";

/** What stands around every page. */
export function Shell({ children }: { children: ReactNode }) {
  const session = useSession();
  const [failed, setFailed] = useState("");
  return (
    <div className="flex h-dvh flex-col">
      <a href="#content" className="button absolute -top-20 left-2 z-20 focus:top-2">
        Skip to content
      </a>
      <header className="flex shrink-0 items-center gap-4 border-b border-line bg-sunk px-4 py-1.5">
        <Link to="/" className="text-base font-semibold">
          Podium
        </Link>
        <nav aria-label="Main" className="flex gap-3">
          <Link to="/" className="rounded px-2 py-1 hover:bg-bg" activeOptions={{ exact: true, includeSearch: false }} activeProps={{ className: "font-semibold" }}>
            Tasks
          </Link>
        </nav>
        <span className="flex-1" />
        {session.is === "in" && (
          <span className="hidden text-muted sm:inline" title={session.me.verbs.join(", ")}>
            {line(session.me.subject)}
          </span>
        )}
        <button type="button" className="button" onClick={() => void signOut().catch((error) => setFailed(told(error)))}>
          Log out
        </button>
      </header>
      {failed && (
        <p role="alert" className="border-b border-warn-line bg-warn px-4 py-1">
          {failed}
        </p>
      )}
      <Lost />
      <main id="content" className="flex min-h-0 flex-1 flex-col overflow-y-auto" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

/** Never silently stale. */
function Lost() {
  const connection = useConnection();
  return (
    <div role="status">
      {connection.is === "connecting" && connection.lostAt !== null && (
        <p className="border-b border-warn-line bg-warn px-4 py-1" data-testid="lost">
          No connection to the server; what you see is <Age of={Date.now() - (performance.now() - connection.lostAt)} />{" "}
          old. Trying again …
        </p>
      )}
    </div>
  );
}

export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  return (
    <div role="alert" className="panel m-4 flex flex-wrap items-center gap-3 border-danger p-3">
      <span className="text-danger">{told(error)}</span>
      {retry && (
        <button type="button" className="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}
