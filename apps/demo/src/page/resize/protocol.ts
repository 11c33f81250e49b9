/** What the page and the thread that resizes say to each other. */
export type ToThread =
  | {
      readonly type: "resize";
      readonly id: number;
      readonly file: Blob;
      readonly width: number;
      readonly height: number;
      /** Longest data URL wanted. */
      readonly limit: number;
      /** A pause between the steps, for those who want to watch. */
      readonly pauseMs: number;
    }
  | { readonly type: "cancel"; readonly id: number };

export type FromThread =
  | { readonly type: "step"; readonly id: number; readonly step: Step }
  | { readonly type: "done"; readonly id: number; readonly picture: ResizedPicture }
  /** `isImage` false: these bytes are no picture, and no further try will make them one. */
  | { readonly type: "failed"; readonly id: number; readonly message: string; readonly isImage: boolean };

export type Step = "decoding" | "resizing" | "encoding";

export interface ResizedPicture {
  readonly width: number;
  readonly height: number;
  readonly originalWidth: number;
  readonly originalHeight: number;
  /** JPEG. */
  readonly dataUrl: string;
}
