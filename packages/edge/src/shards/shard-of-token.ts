import { placeOfToken } from "./exchange-parts.ts";

/** A token without a shard's name is of the first: the worker claimed it before the queue was split. */
export const homeOfToken = (token: string): string => {
  const place = placeOfToken(token);
  return place !== undefined && /^\d{1,4}$/.test(place) ? place : "0";
};
