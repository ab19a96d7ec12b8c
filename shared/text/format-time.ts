const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/**
 * Python's strftime in UTC, for the directives that chat templates use; an unknown one stays as it is.
 * @source Python 3, "strftime() and strptime() Format Codes"
 */
export function formatTime(format: string, atMs: number): string {
  const at = new Date(atMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = days[at.getUTCDay()] ?? '';
  const month = months[at.getUTCMonth()] ?? '';
  const texts: Readonly<Record<string, string>> = {
    a: day.slice(0, 3),
    A: day,
    b: month.slice(0, 3),
    B: month,
    d: two(at.getUTCDate()),
    m: two(at.getUTCMonth() + 1),
    Y: String(at.getUTCFullYear()),
    y: two(at.getUTCFullYear() % 100),
    H: two(at.getUTCHours()),
    I: two(at.getUTCHours() % 12 || 12),
    M: two(at.getUTCMinutes()),
    S: two(at.getUTCSeconds()),
    p: at.getUTCHours() < 12 ? 'AM' : 'PM',
    '%': '%',
  };
  return format.replaceAll(/%(.)/g, (whole, code: string) => texts[code] ?? whole);
}
