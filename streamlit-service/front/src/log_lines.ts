// A container's log as it comes: lines with their time and where they are from.

export interface Line {
  number: number;
  at: string;
  text: string;
  source: Source;
}

export type Source = "JupyterLab" | "TensorBoard" | "SSH" | "Notebooks";

export const MOST = 10_000; // lines that are kept, and that the portal gives at once

const SOURCES: [Source, RegExp][] = [
  ["JupyterLab", /^\[[A-Z] [^\]]*(App|Extension|jupyter|Jupyter)[^\]]*\]|^\[I [\d-]+ /],
  ["TensorBoard", /tensorboard/i],
  ["SSH", /^SSH |sshd|publickey/],
];

// Where Jupyter says that it can be reached: inside the container, so not for anybody.
const INSIDE = /https?:\/\/(127\.0\.0\.1|localhost|[0-9a-f]{12}|[\w.-]+):8888\/|jpserver-\d+-open\.html|To access the server, open|Or copy and paste one of these|to stop this server and shut down/;

function sourceOf(text: string, before: Source): Source {
  const found = SOURCES.find(([, pattern]) => pattern.test(text));
  if (found) return found[0];
  return /^\s/.test(text) ? before : "Notebooks"; // a message of several lines
}

// Read and follow until the signal says otherwise; tells of lines many at a time.
export async function read(
  id: string, signal: AbortSignal, tell: (lines: Line[]) => void,
): Promise<string> {
  const answer = await fetch(`/api/v1/deployments/${id}/logs?tail=${MOST}&follow=true`, { signal });
  if (!answer.ok || answer.body === null) {
    const said = (await answer.json().catch(() => ({}))) as { message?: string; hint?: string };
    return [said.message ?? "The log cannot be read now.", said.hint ?? ""].join(" ");
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let number = 0;
  let source: Source = "JupyterLab";
  for (;;) {
    const { done, value } = await reader.read();
    const parts = (rest + (value ?? "")).split("\n");
    rest = done ? "" : parts.pop()!;
    const lines: Line[] = [];
    for (const part of parts) {
      const space = part.indexOf(" ");
      const text = part.slice(space + 1);
      if (part === "") continue;
      source = sourceOf(text, source);
      if (source === "JupyterLab" && INSIDE.test(text)) continue;
      lines.push({ number: number++, at: part.slice(0, space), text, source });
    }
    if (lines.length) tell(lines);
    if (done) return "";
  }
}
