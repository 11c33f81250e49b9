import { indexedDbDriver } from "@quayside/browser";
import { useCounts, useJobs } from "@quayside/browser/react";
import { type Driver, type JobState, memoryDriver, Queue } from "@quayside/core";
import { act, memo, type ReactNode, StrictMode, startTransition, useReducer, useState } from "react";
import { createRoot, hydrateRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { freshName } from "./support/databases.ts";

interface Jobs {
  resize: { width: number };
}

const place = document.body.appendChild(document.createElement("main"));
let unmount = () => {};

beforeEach(() => vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true));
afterEach(async () => {
  await act(async () => unmount());
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

async function render(node: ReactNode): Promise<void> {
  const root = createRoot(place);
  unmount = () => root.unmount();
  await act(async () => root.render(node));
}

/** Lets React draw what came meanwhile, until the page shows it. */
const shows = (text: string) => vi.waitFor(() => act(async () => expect(place.textContent).toBe(text)), 10_000);

const makeQueue = (driver: Driver = memoryDriver()) => new Queue<Jobs>("images", driver);

/** How often somebody listens to the driver, now. */
function listening(driver: Driver): () => number {
  let count = 0;
  const watch = driver.watch.bind(driver);
  vi.spyOn(driver, "watch").mockImplementation((listener) => {
    const stop = watch(listener);
    count++;
    return () => {
      count--;
      stop();
    };
  });
  return () => count;
}

const Failing = ({ queue }: { queue: Queue<Jobs> }) => {
  const { value, error } = useCounts(queue);
  return `${value?.waiting} ${error instanceof Error ? error.message : "fine"}`;
};

/** What a test does to a component, from outside of it, and sees of it. */
class Handle {
  drawings = 0;
  readonly rows: number[] = [];
  show: (state: JobState) => void = () => {};
  again: () => void = () => {};
  swap: (queue: Queue<Jobs>) => void = () => {};
}

const Widths = ({ queue, handle }: { queue: Queue<Jobs>; handle: Handle }) => {
  const [state, setState] = useState<JobState>("delayed");
  const [, draw] = useReducer((count: number) => count + 1, 0);
  handle.drawings++;
  handle.again = draw;
  handle.show = (next) => startTransition(() => setState(next));
  const { value } = useJobs(queue, { state, tags: ["a"] });
  return value ? value.jobs.map((job) => job.payload.width).join() : "…";
};

const Positions = ({ queue, handle }: { queue: Queue<Jobs>; handle: Handle }) => {
  const [draws, draw] = useReducer((count: number) => count + 1, 0);
  handle.again = draw;
  const { value } = useJobs(queue, draws > 0 ? { positions: true } : {});
  return value ? `${value.jobs.length} job, ${value.positions?.length ?? 0} positions` : "…";
};

const Row = memo(({ job, handle }: { job: { payload: { width: number } }; handle: Handle }) => {
  handle.rows.push(job.payload.width);
  return `${job.payload.width} `;
});

const Rows = ({ queue, handle }: { queue: Queue<Jobs>; handle: Handle }) =>
  useJobs(queue).value?.jobs.map((job) => <Row key={job.id} job={job} handle={handle} />);

const Length = ({ first, handle }: { first: Queue<Jobs>; handle: Handle }) => {
  const [queue, setQueue] = useState(first);
  handle.swap = setQueue;
  return `${useJobs(queue).value?.jobs.length}`;
};

const Counts = ({ queue }: { queue: Queue<Jobs> }) => {
  const { status, value } = useCounts(queue);
  return status === "loading" ? "…" : `${value?.waiting} waiting`;
};

describe("useCounts", () => {
  it("draws the counts, and draws again when another tab changes them", async () => {
    const name = freshName();
    const [here, there] = [indexedDbDriver({ name }), indexedDbDriver({ name })];
    await render(<Counts queue={makeQueue(here)} />);
    await shows("0 waiting");
    await makeQueue(there).addJob("resize", { width: 1 });
    await shows("1 waiting");
    await Promise.all([here.close(), there.close()]);
  });

  it("listens once and reads once for all components, in StrictMode too, and not at all when they are gone", async () => {
    const driver = memoryDriver();
    const queue = makeQueue(driver);
    const count = listening(driver);
    const read = vi.spyOn(driver, "counts");
    await render(
      <StrictMode>
        <Counts queue={queue} />
        <Counts queue={queue} />
      </StrictMode>,
    );
    await shows("0 waiting0 waiting");
    expect(count()).toBe(1);
    expect(read).toHaveBeenCalledTimes(1);
    await act(async () => unmount());
    expect(count()).toBe(0);
  });

  it("draws the same on the server and on the first drawing in the page", async () => {
    const queue = makeQueue();
    const complaint = vi.spyOn(console, "error");
    const html = renderToString(<Counts queue={queue} />);
    expect(html).toBe("…");
    place.innerHTML = html;
    const recovered = vi.fn();
    await act(async () => {
      const root = hydrateRoot(place, <Counts queue={queue} />, { onRecoverableError: recovered });
      unmount = () => root.unmount();
    });
    await shows("0 waiting");
    expect(recovered).not.toHaveBeenCalled();
    expect(complaint).not.toHaveBeenCalled();
  });

  it("shows an error beside what was known", async () => {
    const driver = memoryDriver();
    const queue = makeQueue(driver);
    await render(<Failing queue={queue} />);
    await shows("0 fine");
    vi.spyOn(driver, "counts").mockRejectedValueOnce(new Error("boom"));
    await queue.addJob("resize", { width: 1 });
    await shows("0 boom");
    await queue.addJob("resize", { width: 1 });
    await shows("2 fine");
  });
});

describe("useJobs", () => {
  it("takes a query written in place without beginning anew, and another query as another", async () => {
    const driver = memoryDriver();
    const queue = makeQueue(driver);
    const count = listening(driver);
    const list = vi.spyOn(driver, "list");
    await queue.addJobs([
      { name: "resize", payload: { width: 1 }, tags: ["a"] },
      { name: "resize", payload: { width: 2 }, tags: ["a"], delay: "1h" },
    ]);
    const handle = new Handle();
    await render(<Widths queue={queue} handle={handle} />);
    await shows("2");
    expect(list).toHaveBeenCalledTimes(1);
    const before = handle.drawings;
    for (let times = 0; times < 3; times++) await act(async () => handle.again());
    expect(handle.drawings).toBe(before + 3);
    expect(list).toHaveBeenCalledTimes(1);

    await act(async () => handle.show("waiting"));
    await shows("1");
    expect(count()).toBe(1);
    expect(list.mock.calls[1]?.[0]).toMatchObject({ state: "waiting", tags: ["a"] });
  });

  it("asks for positions once its query does", async () => {
    const queue = makeQueue();
    await queue.addJob("resize", { width: 1 });
    const handle = new Handle();
    await render(<Positions queue={queue} handle={handle} />);
    await shows("1 job, 0 positions");
    await act(async () => handle.again());
    await shows("1 job, 1 positions");
  });

  it("hands unchanged jobs on as the same objects, so that rows that are memo are not drawn again", async () => {
    const queue = makeQueue();
    const [first] = await queue.addJobs([1, 2].map((width) => ({ name: "resize", payload: { width } })));
    const handle = new Handle();
    await render(<Rows queue={queue} handle={handle} />);
    await shows("1 2 ");
    await queue.update(first as string, { payload: { width: 10 } });
    await shows("10 2 ");
    expect(handle.rows).toEqual([1, 2, 10]);
  });

  it("follows another queue when it is given one", async () => {
    const [one, two] = [makeQueue(), makeQueue()];
    await two.addJob("resize", { width: 2 });
    const handle = new Handle();
    await render(<Length first={one} handle={handle} />);
    await shows("0");
    await act(async () => handle.swap(two));
    await shows("1");
  });
});
