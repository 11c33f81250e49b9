/** A picture to be laid out; `dataUrl` is its content. */
export interface Picture {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly dataUrl: string;
}

const COLUMNS = 4;
const CELL = 150;
const GAP = 18;
const MARGIN = 24;
const HEADER = 44;
const CAPTION = 40;
const LONGEST_NAME = 20;
const FONT = "ui-sans-serif, system-ui, sans-serif";

/** A contact sheet as SVG: a grid of the pictures with their names and sizes, everything embedded. */
export function contactSheet(
  pictures: readonly Picture[],
  { number, builtAt }: { readonly number: number; readonly builtAt: number },
): string {
  const columns = Math.max(1, Math.min(COLUMNS, pictures.length));
  const rows = Math.ceil(pictures.length / columns);
  const width = 2 * MARGIN + COLUMNS * CELL + (COLUMNS - 1) * GAP;
  const height = 2 * MARGIN + HEADER + rows * (CELL + CAPTION) + Math.max(0, rows - 1) * GAP;
  const date = new Date(builtAt).toISOString().slice(0, 16).replace("T", " ");
  const cells = pictures.map((picture, index) => {
    const x = MARGIN + (index % columns) * (CELL + GAP);
    const y = MARGIN + HEADER + Math.floor(index / columns) * (CELL + CAPTION + GAP);
    return cell(picture, x, y);
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${FONT}">`,
    `<rect width="100%" height="100%" fill="#fbfaf7"/>`,
    `<text x="${MARGIN}" y="${MARGIN + 16}" font-size="17" font-weight="600" fill="#1c2024">Contact sheet ${number}</text>`,
    `<text x="${width - MARGIN}" y="${MARGIN + 16}" font-size="13" text-anchor="end" fill="#6b7278">${date} UTC · ${pictures.length} ${pictures.length === 1 ? "picture" : "pictures"}</text>`,
    ...cells,
    `</svg>`,
  ].join("\n");
}

/** The picture at its own proportions in the middle of a square, its name and size below. */
function cell({ name, width, height, dataUrl }: Picture, x: number, y: number): string {
  const scale = Math.min(CELL / width, CELL / height, 1);
  const w = Math.round(width * scale);
  const h = Math.round(height * scale);
  const left = x + Math.round((CELL - w) / 2);
  const top = y + Math.round((CELL - h) / 2);
  return [
    `<rect x="${x}" y="${y}" width="${CELL}" height="${CELL}" fill="#efede7"/>`,
    `<image x="${left}" y="${top}" width="${w}" height="${h}" href="${escaped(dataUrl)}"/>`,
    `<text x="${x}" y="${y + CELL + 18}" font-size="13" fill="#1c2024">${escaped(shorten(name))}</text>`,
    `<text x="${x}" y="${y + CELL + 34}" font-size="12" fill="#6b7278">${width} × ${height}</text>`,
  ].join("");
}

/** The end of a name tells more than its middle: it has the type, and often a number. */
function shorten(name: string): string {
  const letters = [...name];
  if (letters.length <= LONGEST_NAME) return name;
  return `${letters.slice(0, LONGEST_NAME - 9).join("")}…${letters.slice(-8).join("")}`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
/** File names are anybody's text, and XML takes neither control characters nor halves of surrogate pairs. */
const escaped = (text: string): string =>
  text
    .toWellFormed()
    .replace(/\p{Cc}|\ufffe|\uffff/gu, " ")
    .replace(/[&<>"]/g, (letter) => ENTITIES[letter] as string);
