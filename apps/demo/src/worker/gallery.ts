import { DurableObject } from "cloudflare:workers";
import type { GalleryView, StoredThumbnail } from "../jobs.ts";
import { contactSheet, type Picture } from "./contact-sheet.ts";
import type { Env } from "./env.ts";

/** Thumbnails on a sheet, the newest: a row may have 2 MB, and a thumbnail 60 kB. */
const SHEET_LIMIT = 24;
const KEPT_THUMBNAILS = 200;
const KEPT_SHEETS = 5;

export interface NewThumbnail extends Picture {
  readonly source: string;
}

type Row = Record<string, SqlStorageValue>;

/** What has arrived at the edge: the thumbnails, and the contact sheets made of them. */
export class Gallery extends DurableObject<Env> {
  readonly #sql: SqlStorage;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(`CREATE TABLE IF NOT EXISTS thumbnails (
      source TEXT PRIMARY KEY, name TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
      dataUrl TEXT NOT NULL, storedAt INTEGER NOT NULL, arrivals INTEGER NOT NULL, sheet INTEGER
    ) WITHOUT ROWID`);
    this.#sql.exec(`CREATE TABLE IF NOT EXISTS sheets (
      number INTEGER PRIMARY KEY, thumbnails INTEGER NOT NULL, builtAt INTEGER NOT NULL, svg TEXT NOT NULL
    )`);
  }

  /** Stores it once for each source. Answers the number of the sheet it has yet to come onto, if it has. */
  store({ source, name, width, height, dataUrl }: NewThumbnail): { readonly sheet?: number } {
    this.#sql.exec(
      `INSERT INTO thumbnails VALUES (?, ?, ?, ?, ?, ?, 1, NULL) ON CONFLICT (source) DO UPDATE SET arrivals = arrivals + 1`,
      source,
      name,
      width,
      height,
      dataUrl,
      Date.now(),
    );
    this.#sql.exec(
      `DELETE FROM thumbnails WHERE source NOT IN
        (SELECT source FROM thumbnails ORDER BY storedAt DESC, source LIMIT ${KEPT_THUMBNAILS})`,
    );
    const { sheet } = this.#sql.exec(`SELECT sheet FROM thumbnails WHERE source = ?`, source).one();
    return sheet === null ? { sheet: this.#lastSheet() + 1 } : {};
  }

  /** How long ago the last thumbnail came. */
  status(): { readonly quietMs: number } {
    const { last } = this.#sql.exec<{ last: number | null }>(`SELECT max(storedAt) AS last FROM thumbnails`).one();
    return { quietMs: Math.max(0, Date.now() - (last ?? 0)) };
  }

  /**
   * Draws the sheet of this number and closes it, in one step: what arrives afterwards goes onto the next. A sheet that
   * is there already is left as it is.
   */
  buildSheet(sheet: number): { readonly sheet: number; readonly thumbnails: number } {
    if (sheet <= this.#lastSheet()) {
      const [made] = this.#sql.exec<{ thumbnails: number }>(`SELECT thumbnails FROM sheets WHERE number = ?`, sheet);
      return { sheet, thumbnails: made?.thumbnails ?? 0 };
    }
    const pictures = this.#sql
      .exec<Picture & Row>(
        `SELECT name, width, height, dataUrl FROM thumbnails ORDER BY storedAt DESC, source LIMIT ${SHEET_LIMIT}`,
      )
      .toArray();
    const builtAt = Date.now();
    this.ctx.storage.transactionSync(() => {
      this.#sql.exec(
        `INSERT INTO sheets VALUES (?, ?, ?, ?)`,
        sheet,
        pictures.length,
        builtAt,
        contactSheet(pictures, { number: sheet, builtAt }),
      );
      this.#sql.exec(`UPDATE thumbnails SET sheet = ? WHERE sheet IS NULL`, sheet);
      this.#sql.exec(`DELETE FROM sheets WHERE number <= ?`, sheet - KEPT_SHEETS);
    });
    return { sheet, thumbnails: pictures.length };
  }

  view(): GalleryView {
    const thumbnails = this.#sql
      .exec<Row>(
        `SELECT source, name, width, height, storedAt, arrivals, sheet FROM thumbnails ORDER BY storedAt DESC, source`,
      )
      .toArray()
      .map(
        ({ sheet, ...thumbnail }) => ({ ...thumbnail, ...(sheet !== null && { sheet }) }) as unknown as StoredThumbnail,
      );
    const [sheet] = this.#sql.exec<NonNullable<GalleryView["sheet"]> & Row>(
      `SELECT number, thumbnails, builtAt FROM sheets ORDER BY number DESC LIMIT 1`,
    );
    return { thumbnails, ...(sheet && { sheet }) };
  }

  /** A sheet as SVG. */
  sheet(number: number): string | undefined {
    const [sheet] = this.#sql.exec<{ svg: string }>(`SELECT svg FROM sheets WHERE number = ?`, number);
    return sheet?.svg;
  }

  #lastSheet(): number {
    return this.#sql.exec<{ last: number }>(`SELECT coalesce(max(number), 0) AS last FROM sheets`).one().last;
  }
}
