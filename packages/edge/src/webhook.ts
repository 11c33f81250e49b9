export { WebhookError } from "./webhook/receiver-answer.ts";
export type { AllowedUrls } from "./webhook/receiver-url.ts";
export { type WebhookOptions, webhook } from "./webhook/send-webhook.ts";
export { type VerifyOptions, verifyWebhook, type WebhookEvent } from "./webhook/verify.ts";
