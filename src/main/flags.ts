import { type ParseArgsConfig, parseArgs } from 'node:util'
import type { FlagSetting } from '../config/config.js'
import { closest } from './closest.js'
import { UsageError } from './usage-error.js'

/** One flag of a command. */
export interface Flag {
  /** Without the dashes. */
  readonly name: string
  readonly short?: string
  /** What stands for its value in the help; absent: the flag takes none. */
  readonly placeholder?: string
  readonly isRepeatable?: boolean
  readonly help: string
  /** The setting it stands for, if it is nothing but that. */
  readonly setting?: readonly string[]
}

/** What a command line said. */
export class FlagValues {
  readonly positionals: readonly string[]
  readonly #flags: readonly Flag[]
  readonly #values: ReadonlyMap<string, readonly (string | boolean)[]>

  constructor(
    flags: readonly Flag[],
    values: ReadonlyMap<string, readonly (string | boolean)[]>,
    positionals: readonly string[]
  ) {
    this.#flags = flags
    this.#values = values
    this.positionals = positionals
  }

  has(name: string): boolean {
    return this.#values.has(name)
  }

  /** The last value given; `undefined` when the flag was not. */
  text(name: string): string | undefined {
    const value = this.#values.get(name)?.at(-1)
    return typeof value === 'string' ? value : undefined
  }

  /**
   * A whole number.
   *
   * @throws UsageError when it is something else
   */
  count(name: string, minimum: number): number | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= minimum && Number.isSafeInteger(value)) return value
    throw new UsageError(`--${name} takes a whole number of at least ${minimum}, not "${text}"`)
  }

  /** Every flag that stands for a setting, `--set` included, in the form the configuration takes. */
  settings(): FlagSetting[] {
    const direct = this.#flags.flatMap(({ name, setting }) =>
      setting ? (this.#values.get(name) ?? []).map(value => ({ flag: `--${name}`, path: setting, value })) : []
    )
    return [...direct, ...(this.#values.get('set') ?? []).map(toSetting)]
  }
}

function toSetting(text: string | boolean): FlagSetting {
  const [, key, value] = String(text).match(/^([^=]+)=(.*)$/s) ?? []
  // Only the name is repeated: what follows may be a secret that somebody separated by something else.
  const name = String(text).match(/^[\w.-]*/)?.[0] ?? ''
  if (key === undefined)
    throw new UsageError(`--set takes NAME=VALUE, for example --set http.port=9000; "${name}" has no value`)
  return { flag: `--set ${key}`, path: key.split('.'), value: value! }
}

/**
 * Reads the arguments of a command.
 *
 * @throws UsageError naming the argument that is wrong and what was probably meant
 */
export function parseFlags(
  args: readonly string[],
  flags: readonly Flag[],
  positionals: readonly string[]
): FlagValues {
  const options: NonNullable<ParseArgsConfig['options']> = {}
  for (const { name, short, placeholder } of flags) {
    options[name] = { type: placeholder === undefined ? 'boolean' : 'string', multiple: true, ...(short && { short }) }
  }
  const parsed = parse(args, options, flags)
  if (parsed.positionals.length > positionals.length) {
    const surplus = parsed.positionals[positionals.length]
    const expected = positionals.length === 0 ? 'only flags are' : `only ${positionals.join(' ')} is`
    throw new UsageError(`"${surplus}" is one argument too many; ${expected} expected here`)
  }
  return new FlagValues(flags, parsed.values, parsed.positionals)
}

function parse(args: readonly string[], options: NonNullable<ParseArgsConfig['options']>, flags: readonly Flag[]) {
  // Not strict, so that the message is ours: Node's speaks of options and of escaping positionals.
  const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true })
  const values = new Map<string, (string | boolean)[]>()
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    const flag = flags.find(({ name }) => name === token.name)
    if (!flag)
      throw new UsageError(
        `unknown flag ${token.rawName}${closest(
          token.name,
          flags.map(f => f.name),
          '--'
        )}`
      )
    if (flag.placeholder === undefined && token.value !== undefined)
      throw new UsageError(`${token.rawName} takes no value`)
    if (flag.placeholder !== undefined && (token.value === undefined || token.value === '')) {
      throw new UsageError(`${token.rawName} needs a value: --${flag.name} ${flag.placeholder}`)
    }
    values.set(flag.name, [...(values.get(flag.name) ?? []), token.value ?? true])
  }
  return { values, positionals }
}

/** The flags as two columns. */
export function describeFlags(flags: readonly Flag[]): string {
  const rows = flags.map(({ name, short, placeholder, help }) => [
    `${short ? `-${short}, ` : '    '}--${name}${placeholder ? ` ${placeholder}` : ''}`,
    help
  ])
  const width = Math.max(...rows.map(([left]) => left!.length))
  return rows.map(([left, right]) => `  ${left!.padEnd(width)}  ${right}`).join('\n')
}
