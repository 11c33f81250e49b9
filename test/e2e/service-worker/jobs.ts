/** What the page adds and the service worker does. */
export interface Jobs {
  upload: { readonly file: string };
}

/** Of the database, and of the channel of events. */
export const APP = "uploads";
