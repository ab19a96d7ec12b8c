/**
 * Part numbers of ARM's own designs.
 * @source MIDR_EL1 in ARM's technical reference manuals; arch/arm64/include/asm/cputype.h
 */
const ARM_PARTS: Readonly<Record<string, string>> = {
  '0xc07': 'cortex-a7',
  '0xc0f': 'cortex-a15',
  '0xd03': 'cortex-a53',
  '0xd04': 'cortex-a35',
  '0xd05': 'cortex-a55',
  '0xd07': 'cortex-a57',
  '0xd08': 'cortex-a72',
  '0xd09': 'cortex-a73',
  '0xd0a': 'cortex-a75',
  '0xd0b': 'cortex-a76',
  '0xd0c': 'neoverse-n1',
  '0xd0d': 'cortex-a77',
  '0xd40': 'neoverse-v1',
  '0xd41': 'cortex-a78',
  '0xd44': 'cortex-x1',
  '0xd46': 'cortex-a510',
  '0xd47': 'cortex-a710',
  '0xd48': 'cortex-x2',
  '0xd49': 'neoverse-n2',
  '0xd4d': 'cortex-a715',
  '0xd4e': 'cortex-x3',
  '0xd4f': 'neoverse-v2',
  '0xd80': 'cortex-a520',
  '0xd81': 'cortex-a720',
  '0xd82': 'cortex-x4',
};

/** Implementer code of ARM itself; others number their parts on their own. */
const ARM = 0x41;

/**
 * Name of a core, such as "cortex-a76"; null when it is another maker's, or not known here.
 * @param implementer and part as /proc/cpuinfo has them, "0x41" and "0xd0b"
 */
export function armCoreName(implementer: string | undefined, part: string | undefined): string | null {
  if (Number(implementer) !== ARM || part === undefined) return null;
  const key = part.toLowerCase();
  return Object.hasOwn(ARM_PARTS, key) ? (ARM_PARTS[key] ?? null) : null;
}
