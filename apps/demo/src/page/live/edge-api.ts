import type { GalleryView, Mail } from "../../jobs.ts";
import { DEV_TOKEN } from "../jobs/queues.ts";
import { fetchThroughSwitch } from "../state/network.ts";

/** The demo's own part of the API, beside the queues. */
export const edgeApi = {
  gallery: async () => (await get("gallery")).json() as Promise<GalleryView>,
  inbox: async () => (await get("inbox")).json() as Promise<readonly Mail[]>,
  sheet: async (number: number) => (await get(`gallery/sheets/${number}`)).blob(),
};

async function get(path: string): Promise<Response> {
  const response = await fetchThroughSwitch(`/api/${path}`, { headers: { authorization: `Bearer ${DEV_TOKEN}` } });
  if (!response.ok) throw new Error(`The edge answered ${response.status}`);
  return response;
}
