import { fitInto } from "./fit.ts";
import type { FromThread, ResizedPicture, Step, ToThread } from "./protocol.ts";

/**
 * The thread that decodes, resizes and encodes: megabytes of pixels go through here, and the page stays quick.
 */

const QUALITIES = [0.82, 0.7, 0.55, 0.4, 0.25] as const;

/** By the number of the request. */
const running = new Map<number, AbortController>();

const tell = (message: FromThread) => postMessage(message);

addEventListener("message", ({ data }: MessageEvent<ToThread>) => {
  if (data.type === "cancel") running.get(data.id)?.abort();
  else void run(data);
});

type Request = Extract<ToThread, { type: "resize" }>;

class NoImage extends Error {}

async function run(request: Request): Promise<void> {
  const { id } = request;
  const controller = new AbortController();
  running.set(id, controller);
  try {
    tell({ type: "done", id, picture: await resize(request, controller.signal) });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (!controller.signal.aborted) tell({ type: "failed", id, message, isImage: !(error instanceof NoImage) });
  } finally {
    running.delete(id);
  }
}

async function resize(request: Request, signal: AbortSignal): Promise<ResizedPicture> {
  const { id, file, pauseMs } = request;
  const step = async (name: Step) => {
    tell({ type: "step", id, step: name });
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    signal.throwIfAborted();
  };
  await step("decoding");
  const decoded = await decode(file);
  try {
    signal.throwIfAborted();
    await step("resizing");
    const size = fitInto(decoded, request);
    const canvas = draw(decoded, size);
    await step("encoding");
    const dataUrl = await encode(canvas, request.limit);
    return { ...size, originalWidth: decoded.width, originalHeight: decoded.height, dataUrl };
  } finally {
    decoded.close();
  }
}

async function decode(file: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(file);
  } catch (cause) {
    throw new NoImage("This file could not be decoded: it is damaged, or no picture", { cause });
  }
}

/** On white: the result is a JPEG, which knows no transparency. */
function draw(
  picture: ImageBitmap,
  { width, height }: { readonly width: number; readonly height: number },
): OffscreenCanvas {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("There is no canvas to draw on");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0, width, height);
  return canvas;
}

/** As good as it can be within the limit. */
async function encode(canvas: OffscreenCanvas, limit: number): Promise<string> {
  for (const quality of QUALITIES) {
    const dataUrl = await toDataUrl(await canvas.convertToBlob({ type: "image/jpeg", quality }));
    if (dataUrl.length <= limit) return dataUrl;
  }
  throw new Error(`The thumbnail does not fit into ${limit} characters`);
}

async function toDataUrl(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let binary = "";
  // In slices: a function takes only so many arguments.
  for (let from = 0; from < bytes.length; from += 8_192) {
    binary += String.fromCharCode(...bytes.subarray(from, from + 8_192));
  }
  return `data:${blob.type};base64,${btoa(binary)}`;
}
