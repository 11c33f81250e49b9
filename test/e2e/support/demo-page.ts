import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JobPage, JobRecord } from "@quayside/core";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { launchOptions } from "../../support/chromium.ts";
import { type DemoServer, startDemo } from "./demo-server.ts";
import type { PictureFile } from "./pictures.ts";

/** What the demo's gallery answers, as far as the tests look. */
export interface GalleryView {
  readonly thumbnails: readonly {
    readonly source: string;
    readonly name: string;
    readonly width: number;
    readonly height: number;
    /** How often it came: 1, or something was done twice. */
    readonly arrivals: number;
    readonly sheet?: number;
  }[];
  readonly sheet?: { readonly number: number; readonly thumbnails: number; readonly builtAt: number };
}

/** A demo with a state of its own and a browser with a profile of its own, both on disk, both gone afterwards. */
export class Demo {
  server!: DemoServer;
  readonly #folder: string;
  readonly #contexts = new Set<BrowserContext>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(): Promise<Demo> {
    const demo = new Demo(await mkdtemp(join(tmpdir(), "quayside-demo-")));
    demo.server = await startDemo(join(demo.#folder, "state"));
    return demo;
  }

  /** Kills the server and starts it anew over the same state, at the same address. */
  async restart(): Promise<void> {
    await this.server.kill();
    this.server = await startDemo(join(this.#folder, "state"), Number(new URL(this.server.url).port));
  }

  /** A browser that writes to disk, as people's do: Playwright's usual contexts keep all in memory. */
  async browser(): Promise<BrowserContext> {
    const context = await chromium.launchPersistentContext(join(this.#folder, "profile"), {
      ...(await launchOptions()),
      viewport: { width: 1280, height: 900 },
    });
    this.#contexts.add(context);
    context.on("close", () => this.#contexts.delete(context));
    return context;
  }

  /** The demo's page, loaded and working. */
  async open(context: BrowserContext): Promise<DemoPage> {
    const page = await context.newPage();
    await page.goto(this.server.url);
    return DemoPage.loaded(page);
  }

  gallery(): Promise<GalleryView> {
    return this.server.get("/api/gallery");
  }

  async edgeJobs(queue: string, name: string): Promise<readonly JobRecord[]> {
    const { jobs } = await this.server.get<JobPage>(`/api/queues/${queue}/jobs?limit=1000`);
    return jobs.filter((job) => job.name === name);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#contexts].map((context) => context.close()));
    await this.server.kill();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** A job as its row shows it. */
export interface Row {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly attempts: number;
  readonly interruptions: number;
}

/** The page as somebody sees it who uses it. */
export class DemoPage {
  readonly page: Page;

  private constructor(page: Page) {
    this.page = page;
  }

  static async loaded(page: Page): Promise<DemoPage> {
    // What is out of reach (no network) has nothing to load.
    for (const queue of ["images", "gallery", "mail"]) {
      await page.waitForSelector(`[data-queue="${queue}"]:is([data-loaded="true"], [data-reachable="false"])`);
    }
    return new DemoPage(page);
  }

  async reload(): Promise<void> {
    await this.page.reload();
    await DemoPage.loaded(this.page);
  }

  pick(files: readonly PictureFile[]): Promise<void> {
    return this.page.getByTestId("files").setInputFiles([...files]);
  }

  switch(testId: "offline" | "fail-first" | "slow", on: boolean): Promise<void> {
    return this.page.getByTestId(testId).setChecked(on);
  }

  /** Rows of a queue's panel that match; see `Row` for their attributes. */
  rows(queue: string, having: Readonly<Record<string, string>> = {}) {
    const attributes = Object.entries(having).map(([name, value]) => `[data-${name}="${value}"]`);
    return this.page.locator(`[data-queue="${queue}"] .job${attributes.join("")}`);
  }

  /** Until the panel counts so many jobs in this state. */
  async counts(queue: string, state: string, count: number): Promise<void> {
    await this.page
      .locator(`[data-queue="${queue}"]`)
      .getByTestId(`count-${state}`)
      .and(this.page.getByText(String(count), { exact: true }))
      .waitFor();
  }

  /** All rows of a queue, more of them shown than at first. */
  async allRows(queue: string): Promise<readonly Row[]> {
    const more = this.page.locator(`[data-queue="${queue}"]`).getByRole("button", { name: "Show more" });
    while (await more.isVisible()) {
      const shown = await this.rows(queue).count();
      await more.click();
      await this.rows(queue).nth(shown).waitFor();
    }
    return this.rows(queue).evaluateAll((rows) =>
      rows.map(({ dataset }) => ({
        id: dataset["jobId"] ?? "",
        name: dataset["jobName"] ?? "",
        state: dataset["state"] ?? "",
        attempts: Number(dataset["attempts"]),
        interruptions: Number(dataset["interruptions"]),
      })),
    );
  }

  /** The thumbnails, once there are so many: pixel sizes as the browser decodes them. */
  async thumbnails(count: number): Promise<readonly Thumbnail[]> {
    const images = this.page.getByTestId("thumbnail");
    await images.nth(count - 1).waitFor();
    return images.evaluateAll((elements) =>
      Promise.all(
        (elements as HTMLImageElement[]).map(async (image) => {
          await image.decode();
          const card = image.closest("li") as HTMLElement;
          return {
            name: image.alt,
            width: image.naturalWidth,
            height: image.naturalHeight,
            source: card.dataset["source"] ?? "",
            madeAt: Number(card.dataset["madeAt"]),
          };
        }),
      ),
    );
  }

  /** Until so many of the thumbnails are at the edge. */
  async delivered(count: number): Promise<void> {
    await this.page
      .locator('.card[data-delivered="true"]')
      .nth(count - 1)
      .waitFor();
  }
}

export interface Thumbnail {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly source: string;
  readonly madeAt: number;
}
