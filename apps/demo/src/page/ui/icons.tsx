import type { ComponentChildren } from "preact";

/** Icons on a grid of 16, drawn in the colour of the text. Never the only name of anything. */
function Icon({ children }: { readonly children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

export const icons = {
  waiting: (
    <Icon>
      <circle cx="8" cy="8" r="4.5" />
    </Icon>
  ),
  delayed: (
    <Icon>
      <circle cx="8" cy="8" r="5.5" />
      <path d="M8 5v3l2 1.5" />
    </Icon>
  ),
  active: (
    <Icon>
      <circle class="icon-track" cx="8" cy="8" r="5.5" />
      <path class="icon-turning" d="M8 2.5a5.5 5.5 0 0 1 5.5 5.5" />
    </Icon>
  ),
  completed: (
    <Icon>
      <path d="m3.5 8.5 3 3 6-7" />
    </Icon>
  ),
  failed: (
    <Icon>
      <path d="M8 3.5v5.2M8 11.8v.1" />
      <circle cx="8" cy="8" r="6.2" />
    </Icon>
  ),
  cancelled: (
    <Icon>
      <circle cx="8" cy="8" r="5.5" />
      <path d="m4.2 4.2 7.6 7.6" />
    </Icon>
  ),
  retry: (
    <Icon>
      <path d="M12.8 8a4.8 4.8 0 1 1-1.5-3.5M12.8 2.5v2.7h-2.7" />
    </Icon>
  ),
  cancel: (
    <Icon>
      <path d="m4 4 8 8M12 4l-8 8" />
    </Icon>
  ),
  remove: (
    <Icon>
      <path d="M3 4.5h10M6.2 4.5V3h3.6v1.5M4.4 4.5l.6 8.5h6l.6-8.5M6.8 7v3.6M9.2 7v3.6" />
    </Icon>
  ),
  promote: (
    <Icon>
      <path d="m4 3.8 5 4.2-5 4.2zM12 3.8v8.4" />
    </Icon>
  ),
  pause: (
    <Icon>
      <path d="M5.5 3.5v9M10.5 3.5v9" />
    </Icon>
  ),
  resume: (
    <Icon>
      <path d="m5 3.5 7 4.5-7 4.5z" />
    </Icon>
  ),
  more: (
    <Icon>
      <path d="m5.5 6.5 2.5 3 2.5-3" />
    </Icon>
  ),
  picture: (
    <Icon>
      <rect x="2.5" y="3" width="11" height="10" rx="1.5" />
      <circle cx="6" cy="6.4" r="1" />
      <path d="m3 12 3.4-3.2 2 1.7L11 8l2.3 2.4" />
    </Icon>
  ),
  copy: (
    <Icon>
      <rect x="5.5" y="5.5" width="7.5" height="7.5" rx="1.5" />
      <path d="M10.5 5.5v-1A1.5 1.5 0 0 0 9 3H4.5A1.5 1.5 0 0 0 3 4.5V9a1.5 1.5 0 0 0 1.5 1.5h1" />
    </Icon>
  ),
} as const;
