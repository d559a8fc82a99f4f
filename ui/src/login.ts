/** Signing in and out. */
import { api, got, Refused, told } from "./api/client";
import { queries } from "./queries";
import { currentSession, setSession, signedOut, straightenAddress, takeCode } from "./session";

/** At the start of the page: by the code in the address, else by the cookie that is there, or not. */
export async function begin(): Promise<void> {
  straightenAddress();
  const code = takeCode();
  if (code) {
    // A code that is not right, on a page that is signed in already, changes nothing.
    const before = currentSession().is;
    const failed = await signIn(code);
    if (failed) await look(failed);
    // Its stream and what is shown still belong to who was signed in until now.
    else if (before === "in") window.location.reload();
    return;
  }
  await look("");
}

/** Empty when it worked; else what to tell. */
export async function signIn(code: string): Promise<string> {
  try {
    const me = await got(api.POST("/api/v1/login", { body: { code: code.trim() } }));
    // Whoever was signed in before may have seen more.
    queries.clear();
    setSession({ is: "in", me });
    return "";
  } catch (error) {
    const failed = told(error);
    signedOut(failed);
    return failed;
  }
}

export async function signOut(): Promise<void> {
  await got(api.POST("/api/v1/logout"));
  signedOut();
}

export async function look(failed: string): Promise<void> {
  try {
    setSession({ is: "in", me: await got(api.GET("/api/v1/me")) });
  } catch (error) {
    if (error instanceof Refused && error.status === 401) signedOut(failed);
    else setSession({ is: "unreachable", failed: told(error) });
  }
}
