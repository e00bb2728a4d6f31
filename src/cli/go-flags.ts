import type { Option } from 'commander'

const ON = /^(?:1|t|true)$/i
const OFF = /^(?:0|f|false)$/i

/**
 * A command line with flags as Go's package `flag` takes them, as commander takes them: one dash or two, a value behind a
 * space or a `=`, and `=true` or `=false` for a flag without a value.
 *
 *   -config a.yaml -tls=true  =>  --config a.yaml --tls
 *
 * @param options every flag of the command
 * @param names those of them that may be written so, without dashes
 */
export function fromGoFlags(args: readonly string[], options: readonly Option[], names: ReadonlySet<string>): string[] {
  const taken: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!
    if (arg === '--') return [...taken, ...args.slice(at)]
    const [, name = '', value] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(arg) ?? []
    const option = names.has(name)
      ? options.find(({ long }) => long === `--${name}`)
      : options.find(({ long, short }) => arg === long || arg === short)
    // With one dash, commander would read it as a short flag and its value: -bogus=3 as -b with the value ogus=3.
    if (option === undefined) taken.push(/^-[^-]{2}/.test(arg) && name.length > 1 ? `-${arg}` : arg)
    else if (option.required) {
      taken.push(names.has(name) ? `--${arg.replace(/^-+/, '')}` : arg)
      // Its value, whatever that looks like.
      if (value === undefined && at + 1 < args.length) taken.push(args[++at]!)
    } else if (!names.has(name)) taken.push(arg)
    else if (value === undefined || ON.test(value)) taken.push(`--${name}`)
    else if (!OFF.test(value)) taken.push(arg)
  }
  return taken
}
