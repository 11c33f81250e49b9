import type { BenchPage, ContestantName, Run } from "../protocol.ts";
import type { Contestant } from "./contestant.ts";
import { dropAll } from "./databases.ts";
import { dexie } from "./dexie.ts";
import { measure } from "./measure.ts";
import { quayside } from "./quayside.ts";
import { raw } from "./raw.ts";
import { tanstack } from "./tanstack.ts";
import { workbox } from "./workbox.ts";

const CONTESTANTS: Readonly<Record<ContestantName, Contestant>> = {
  Quayside: quayside,
  Workbox: workbox,
  TanStack: tanstack,
  Dexie: dexie,
  raw,
};

const bench: BenchPage = {
  agent: () => navigator.userAgent,
  async run(run: Run) {
    try {
      return await measure(CONTESTANTS[run.contestant], run);
    } finally {
      await dropAll();
    }
  },
};

Object.assign(globalThis, { bench });
