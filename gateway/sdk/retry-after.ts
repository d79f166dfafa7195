/** How long the header Retry-After asks to wait (RFC 9110 section 10.2.3: seconds, or a date); 0 without one that says it. */
export const retryAfterMs = (header: string | null, now = Date.now()): number => {
  if (header === null) return 0;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1_000 : Date.parse(header) - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : 0;
};
