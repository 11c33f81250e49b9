export { WebhookError } from "./webhook/answer.ts";
export type { AllowedUrls } from "./webhook/receiver-url.ts";
export { type VerifyOptions, verifyWebhook, type WebhookEvent } from "./webhook/verify.ts";
export { type WebhookOptions, webhook } from "./webhook/webhook.ts";
