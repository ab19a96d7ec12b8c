/** Sizes in bytes, and how people read them. */
export const KiB = 1024;
export const MiB = 1024 * 1024;

/** "1.23 GB", "12.3 MB", "840 KB", "17 B": decimal units; a unit starts where the one below would round to 1000. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return '-';
  if (bytes >= 999.95e6) return `${(bytes / 1e9).toFixed(2)} GB`;
  if (bytes >= 999.5e3) return `${(bytes / 1e6).toFixed(1)} MB`;
  if (bytes >= 1e3) return `${(bytes / 1e3).toFixed(0)} KB`;
  return `${bytes} B`;
}

/** "1 h 04 m", "3 m 20 s", "12 s". */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-';
  const whole = Math.max(0, Math.round(seconds));
  if (whole >= 3600)
    return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')} m`;
  if (whole >= 60) return `${Math.floor(whole / 60)} m ${String(whole % 60).padStart(2, '0')} s`;
  return `${whole} s`;
}
