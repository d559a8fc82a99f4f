/** The one way to the API: typed by its own description, errors as `Refused`, a lost login told to `session`. */
import createClient from "openapi-fetch";
import { signedOut } from "../session";
import type { paths } from "./schema";

/** What the server refused, in its own words. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  readonly details: Record<string, unknown>;

  constructor(status: number, error: Partial<{ code: string; message: string; hint: string; details: object }>) {
    super(error.message ?? `the server answered ${status}`);
    this.status = status;
    this.code = error.code ?? "internal";
    this.hint = error.hint ?? "";
    this.details = { ...error.details };
  }
}

export const api = createClient<paths>({ baseUrl: "", credentials: "same-origin" });

api.use({
  onRequest({ request }) {
    if (request.method !== "GET" && request.method !== "HEAD") {
      request.headers.set("X-Podium-CSRF", "1");
    }
    return request;
  },
  onResponse({ response, schemaPath }) {
    if (response.status === 401 && schemaPath !== "/api/v1/login") signedOut();
  },
});

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The answer's body. Throws `Refused`, or TypeError when there is no answer. */
export async function got<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (!response.ok) {
    throw new Refused(response.status, (error as { error?: object } | undefined)?.error ?? {});
  }
  return data as T;
}

/** For the header `Idempotency-Key` of one action of a person's, also when it is sent twice. */
export function key(): { "Idempotency-Key": string } {
  return { "Idempotency-Key": crypto.randomUUID() };
}

/** `message: hint` of whatever was thrown. */
export function told(error: unknown): string {
  if (error instanceof Refused) return error.hint ? `${error.message} (${error.hint})` : error.message;
  if (error instanceof TypeError) return "the server does not answer; is it up? (podium status)";
  return String(error);
}
