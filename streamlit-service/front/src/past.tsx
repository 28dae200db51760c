// What happened to a container, in place below its row.

import { useEffect, useState } from "preact/hooks";
import { lasting, moment, useNow } from "./words";

interface Event {
  at: string;
  text: string;
  by: string;
}

// `state`, `since`: when they change, something happened.
export function Past({ id, name, state, since }: { id: string; name: string; state: string; since: string }) {
  const [events, setEvents] = useState<Event[] | null>(null);
  const [problem, setProblem] = useState(false);
  const now = useNow();
  useEffect(() => {
    const stop = new AbortController();
    fetch(`/api/v1/deployments/${id}/past`, { signal: stop.signal })
      .then(async (answer) => {
        if (!answer.ok) throw new Error();
        setEvents((await answer.json()) as Event[]);
        setProblem(false);
      })
      .catch(() => stop.signal.aborted || setProblem(true));
    return () => stop.abort();
  }, [id, state, since]);
  return (
    <section aria-label={`What happened to ${name}`} class="past">
      {problem && <p class="note warning" role="alert">The history cannot be loaded right now. Close it and try again.</p>}
      {events === null && !problem && <p class="faint" role="status">Loading the history …</p>}
      <ol>
        {events?.map((event, index) => (
          <li key={events.length - index}>
            <time class="faint" dateTime={event.at} title={moment(event.at)}>{lasting(now - Date.parse(event.at))} ago</time>
            <span>{event.text}</span>
            <span class="faint">{event.by}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
