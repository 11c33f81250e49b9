import { useCounts } from "@quayside/browser/react";
import { memoryDriver, Queue } from "@quayside/core";
import { createRoot } from "react-dom/client";

const queue = new Queue("counted", memoryDriver());
await queue.addJobs([
  { name: "first", payload: 1 },
  { name: "second", payload: 2 },
]);

function Counts() {
  const { value } = useCounts(queue);
  return <p>{value === undefined ? "counting" : `${value.waiting} jobs are waiting`}</p>;
}

createRoot(document.querySelector("main") as HTMLElement).render(<Counts />);
