import type { Option } from 'commander'

const ON = /^(?:1|t|true)$/i
const OFF = /^(?:0|f|false)$/i

/**
 * Translates flags from the style of Go's package `flag` to the style of commander. In Go's style a flag has one dash
 * or two, its value follows a space or a `=`, and a flag without a value may have `=true` or `=false`.
 *
 *   -config a.yaml -tls=true  =>  --config a.yaml --tls
 *
 * @param options every flag of the command
 * @param names the flags that may be written in Go's style; the names have no dashes
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
    // An unknown flag with one dash gets a second dash, because commander reads -bogus=3 as -b with the value ogus=3.
    if (option === undefined) taken.push(/^-[^-]{2}/.test(arg) && name.length > 1 ? `-${arg}` : arg)
    else if (option.required) {
      taken.push(names.has(name) ? `--${arg.replace(/^-+/, '')}` : arg)
      // The next argument is the value of the flag, even when it begins with a dash.
      if (value === undefined && at + 1 < args.length) taken.push(args[++at]!)
    } else if (!names.has(name)) taken.push(arg)
    else if (value === undefined || ON.test(value)) taken.push(`--${name}`)
    else if (!OFF.test(value)) taken.push(arg)
  }
  return taken
}
