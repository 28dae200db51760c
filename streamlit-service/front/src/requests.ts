// What people ask of the portal, with a deadline, and the sentence where it cannot be done.

import type { Problem } from "./board";

const DEADLINE_MS = 20_000;
const UNREACHABLE: Problem = {
  message: "The portal cannot be reached.",
  hint: "Check your connection. It may still have gone through: check before you try again.",
};

export async function act(id: string, action: string): Promise<Problem | null> {
  const address = `/api/v1/deployments/${id}`;
  const [method, path] = action === "remove" ? ["DELETE", address] : ["POST", `${address}/${action}`];
  try {
    const answer = await fetch(path, { method, signal: AbortSignal.timeout(DEADLINE_MS) });
    if (answer.ok) return null;
    const said: unknown = await answer.json().catch(() => null);
    return isProblem(said) ? said : UNREACHABLE;
  } catch {
    return UNREACHABLE;
  }
}

// Why the person may not come in any more; null while they may, or nobody answers.
export async function refusal(): Promise<Problem | null> {
  try {
    const answer = await fetch("/api/v1/me", { signal: AbortSignal.timeout(DEADLINE_MS) });
    if (answer.status !== 401 && answer.status !== 403) return null;
    const said: unknown = await answer.json().catch(() => null);
    return isProblem(said) ? said : null;
  } catch {
    return null;
  }
}

function isProblem(said: unknown): said is Problem {
  return typeof said === "object" && said !== null && "message" in said && "hint" in said;
}
