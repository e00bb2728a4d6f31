/** What a benchmark is told. */
export interface BenchOptions {
  /** Length of one measured window. */
  readonly seconds: number
  /** How often every work is measured, in turn with what it is compared with; medians are reported. */
  readonly rounds: number
  /** Works to run; absent: all. What they are compared with runs anyway. */
  readonly only?: readonly string[] | undefined
}
export interface BenchCommand extends BenchOptions {
  readonly name: string
  readonly json: string | undefined
}

export const USAGE = `npm run bench -- NAME [--json FILE] [--seconds N] [--rounds N] [--only WORK,…]

  --json FILE   also write {name, rows} as JSON
  --seconds N   length of one measured window (default 2; idle: 10)
  --rounds N    windows per work, interleaved; medians are printed (default 5)
  --only WORKS  these works and what they are compared with

`

/** @throws Error with a line for the user when the arguments make no sense */
export function parseCommand(args: readonly string[], names: readonly string[]): BenchCommand {
  const values = new Map<string, string>()
  let name: string | undefined
  for (let at = 0; at < args.length; at++) {
    const [flag, inline] = args[at]!.split('=', 2) as [string, string | undefined]
    if (!flag.startsWith('--')) name ??= flag
    else if (['--json', '--seconds', '--rounds', '--only'].includes(flag)) values.set(flag, inline ?? args[++at] ?? '')
    else throw new Error(`unknown flag ${flag}`)
  }
  if (name === undefined || !names.includes(name)) {
    throw new Error(
      `${name === undefined ? 'no benchmark named' : `no benchmark ${name}`}; there are: ${names.join(', ')}`
    )
  }
  return {
    name,
    json: values.get('--json'),
    seconds: positive('--seconds', values, name === 'idle' ? 10 : 2),
    rounds: positive('--rounds', values, 5),
    only: values.get('--only')?.split(',')
  }
}

function positive(flag: string, values: ReadonlyMap<string, string>, standard: number): number {
  const text = values.get(flag)
  const value = text === undefined ? standard : Number(text)
  if (!(value > 0)) throw new Error(`${flag} wants a number above 0, not ${text}`)
  return value
}
