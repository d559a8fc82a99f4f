import { type FormEvent, useState } from "react";
import { signIn } from "../login";

/** Shown in place of whatever page was asked for; its address stays, and is shown after signing in. */
export function Login({ failed }: { failed: string }) {
  const [code, setCode] = useState("");
  const [busy, setBusy] = useState(false);

  async function submit(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    // What is pasted may be the whole address.
    await signIn(code.replace(/^.*#login=/, ""));
    setBusy(false);
  }

  return (
    <main className="mx-auto flex min-h-dvh max-w-sm flex-col justify-center gap-4 px-4 py-10">
      <h1 className="text-2xl font-semibold">Podium</h1>
      <p>
        This browser is not signed in. On the machine that runs Podium, type{" "}
        <code className="code rounded bg-sunk px-1.5 py-0.5">podium login</code>, then open the address that it prints, or
        put its code here.
      </p>
      <form onSubmit={submit} className="flex flex-col gap-3">
        <label htmlFor="code" className="font-medium">
          Login code
        </label>
        <input
          id="code"
          name="code"
          className="field font-mono"
          value={code}
          onChange={(event) => setCode(event.target.value)}
          autoComplete="off"
          spellCheck={false}
          autoFocus
          required
          aria-describedby={failed ? "login-failed" : undefined}
        />
        {failed && (
          <p id="login-failed" role="alert" className="text-danger">
            {failed}
          </p>
        )}
        <button type="submit" className="button button-main justify-center" disabled={busy}>
          Sign in
        </button>
      </form>
    </main>
  );
}
