import { type Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { UsageError } from '../../src/cli/command.js'
import { wholeNumber } from '../../src/cli/options.js'
import { usageMessage } from '../../src/cli/usage-message.js'

/**
 * Reads the arguments of a tool, such as `npm run simulate`. What is wrong is said in the words of Castellan's own
 * command line.
 *
 * @returns the options; the arguments without a name are in `command.args`
 * @throws UsageError with one line for the user; CommanderError with exit code 0 when help was printed
 */
export function parseTool<Values extends object>(command: Command, args: readonly string[]): Values {
  command
    .configureOutput({ writeErr: () => undefined })
    .showSuggestionAfterError(false)
    .exitOverride()
  try {
    return command.parse(args, { from: 'user' }).opts<Values>()
  } catch (error) {
    if (!(error instanceof CommanderError) || error.exitCode === 0) throw error
    throw new UsageError(usageMessage(error, command, undefined))
  }
}

/** The options of this process. A mistake ends it with one line and exit code 2, before anything is started. */
export const toolOptions = <Values extends object>(command: Command): Values =>
  orEnd(command, () => parseTool<Values>(command, process.argv.slice(2)))

/** Does something that may find a mistake in the arguments, which ends the process as {@link toolOptions} does. */
export function orEnd<Result>(command: Command, action: () => Result): Result {
  try {
    return action()
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) process.exit(0)
    if (!(error instanceof UsageError)) throw error
    return usageError(command, error.message)
  }
}

/** Ends the process, since its arguments make no sense. */
export function usageError(command: Command, message: string): never {
  process.stderr.write(`error: ${message}; see ${command.name()} --help\n`)
  return process.exit(2)
}

/** `--seed N`, by which a run is repeated. A tool prints the one that was drawn. */
export const seedOption = (): Option =>
  new Option('--seed <N>', 'repeats a run').argParser(wholeNumber(0)).default((Math.random() * 2 ** 31) | 0, 'by lot')

/** An option with a whole number. */
export const countOption = (flags: string, about: string, count: number, minimum = 1): Option =>
  new Option(flags, about).argParser(wholeNumber(minimum)).default(count)

/** An option that may be given several times. */
export const listOption = (flags: string, about: string): Option =>
  new Option(flags, `${about}; repeatable`)
    .argParser((text: string, former: readonly string[]) => [...former, text])
    .default([], 'none')

/** Reads a number that may have a fraction. */
export function numberFrom(minimum: number): (text: string) => number {
  return text => {
    const value = Number(text)
    if (text.trim() !== '' && Number.isFinite(value) && value >= minimum) return value
    throw new InvalidArgumentError(`a number of at least ${minimum}`)
  }
}

export interface Range {
  readonly from: number
  readonly to: number
}

/** Reads `1-300`, or one number. */
export function range(text: string): Range {
  const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? []
  const [from, to] = [Number(first), Number(last)]
  if (Number.isSafeInteger(to) && from <= to) return { from, to }
  throw new InvalidArgumentError('a range, for example 1-300')
}

/** Reads `3,7,12`. */
export function wholeNumbers(text: string): readonly number[] {
  if (/^\d+(,\d+)*$/.test(text)) return text.split(',').map(Number)
  throw new InvalidArgumentError('whole numbers, for example 3,7,12')
}
