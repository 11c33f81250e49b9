/**
 * The web globals that core may use: those which browsers, workerd and Node all have.
 *
 * Core is compiled against this file in place of the DOM, Node or Workers types, so a global that is missing
 * here is a compile error. The file is not shipped and nothing imports it: the other packages compile core's
 * sources against the real declarations of their platforms. Hence two habits:
 * write `ReturnType<typeof setTimeout>` for a timer, and keep each declaration no wider than every platform's.
 */

// Timers and scheduling

interface OpaqueTimer {
  readonly "a timer; write ReturnType<typeof setTimeout>": never;
}
declare function setTimeout(callback: () => void, delayMs?: number): OpaqueTimer;
declare function clearTimeout(timer: OpaqueTimer | undefined): void;
declare function queueMicrotask(callback: () => void): void;

declare const performance: { now(): number };

// Cancellation

interface AbortSignal {
  readonly aborted: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: as in lib.dom; an abort reason may be anything
  readonly reason: any;
  throwIfAborted(): void;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean; signal?: AbortSignal }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}
declare const AbortSignal: {
  prototype: AbortSignal;
  abort(reason?: unknown): AbortSignal;
  timeout(milliseconds: number): AbortSignal;
};

interface AbortController {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}
declare const AbortController: { prototype: AbortController; new (): AbortController };

interface DOMException extends Error {
  readonly name: string;
  readonly message: string;
}
declare const DOMException: { prototype: DOMException; new (message?: string, name?: string): DOMException };

// Data

declare function structuredClone<T>(value: T): T;
declare function atob(data: string): string;
declare function btoa(data: string): string;

interface TextEncoder {
  encode(input?: string): Uint8Array<ArrayBuffer>;
  encodeInto(source: string, destination: Uint8Array<ArrayBuffer>): { read: number; written: number };
}
declare const TextEncoder: { prototype: TextEncoder; new (): TextEncoder };

interface TextDecoder {
  decode(input?: ArrayBuffer | ArrayBufferView<ArrayBuffer>, options?: { stream?: boolean }): string;
}
declare const TextDecoder: { prototype: TextDecoder; new (label?: string, options?: { fatal?: boolean }): TextDecoder };

// Cryptography: random values, and AES-GCM and digests for encrypted payloads

interface CryptoKey {
  readonly type: string;
  readonly extractable: boolean;
}
interface SubtleCrypto {
  digest(algorithm: string, data: ArrayBufferView<ArrayBuffer> | ArrayBuffer): Promise<ArrayBuffer>;
  importKey(
    format: "raw",
    keyData: ArrayBufferView<ArrayBuffer> | ArrayBuffer,
    algorithm: "AES-GCM",
    extractable: boolean,
    keyUsages: ("encrypt" | "decrypt")[],
  ): Promise<CryptoKey>;
  encrypt(
    algorithm: { name: "AES-GCM"; iv: Uint8Array<ArrayBuffer>; additionalData?: Uint8Array<ArrayBuffer> },
    key: CryptoKey,
    data: ArrayBufferView<ArrayBuffer> | ArrayBuffer,
  ): Promise<ArrayBuffer>;
  decrypt(
    algorithm: { name: "AES-GCM"; iv: Uint8Array<ArrayBuffer>; additionalData?: Uint8Array<ArrayBuffer> },
    key: CryptoKey,
    data: ArrayBufferView<ArrayBuffer> | ArrayBuffer,
  ): Promise<ArrayBuffer>;
}
declare const crypto: {
  getRandomValues<T extends Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>>(array: T): T;
  readonly subtle: SubtleCrypto;
};

// HTTP

interface Headers {
  get(name: string): string | null;
  has(name: string): boolean;
  set(name: string, value: string): void;
}
declare const Headers: { prototype: Headers; new (init?: Record<string, string>): Headers };

interface RequestInit {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  signal?: AbortSignal;
}
interface ReadableStreamReader {
  read(): Promise<
    | { readonly done: false; readonly value: Uint8Array<ArrayBuffer> }
    | { readonly done: true; readonly value?: undefined }
  >;
  cancel(): Promise<void>;
}
/** One of bytes. */
interface ReadableStream<R = Uint8Array> {
  getReader(): ReadableStreamReader;
  cancel(): Promise<void>;
  readonly "a stream of"?: R;
}
interface Response {
  readonly ok: boolean;
  readonly status: number;
  readonly redirected: boolean;
  readonly url: string;
  readonly headers: Headers;
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>> | null;
  text(): Promise<string>;
  // biome-ignore lint/suspicious/noExplicitAny: as in lib.dom; the caller says what it expects
  json(): Promise<any>;
}
declare function fetch(input: string, init?: RequestInit): Promise<Response>;

interface URLSearchParams {
  toString(): string;
}
declare const URLSearchParams: {
  prototype: URLSearchParams;
  new (init: Record<string, string> | readonly (readonly string[])[]): URLSearchParams;
};
