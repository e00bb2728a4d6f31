import type { Command } from 'commander'
import { CastellanError } from '../core/errors.js'
import { printable } from '../core/printable.js'
import type { Client } from './client.js'
import { type CommandDescription, CommandError, EXIT_FAILURE, EXIT_OK, type Process } from './command.js'

type RunWithClient = (line: Command, process: Process, client: Client) => Promise<number>

/** Runs with a client of brokers that answer. Tells at once why none does. */
export const withClient = (run: RunWithClient): NonNullable<CommandDescription['run']> =>
  withOpenClient(async (line, process, client) => {
    const { askForTopics } = await import('./client.js')
    await askForTopics(client, [])
    return await run(line, process, client)
  })

/** Runs with a client of which it is not known whether brokers answer. */
export function withOpenClient(run: RunWithClient): NonNullable<CommandDescription['run']> {
  return async (line, process) => {
    const { openClient } = await import('./client.js')
    const client = await openClient(line, process)
    try {
      return await run(line, process, client)
    } finally {
      await client.stop()
    }
  }
}

/**
 * Deletes one thing after the other, and writes the name of each that is gone. One that cannot be deleted does not keep the
 * others.
 *
 * @param command as errors name it
 */
export async function deleteEach(
  command: string,
  names: readonly string[],
  { stdout, stderr }: Process,
  remove: (name: string) => Promise<void>
): Promise<number> {
  let code = EXIT_OK
  for (const name of names) {
    try {
      await remove(name)
      stdout.write(`${name}\n`)
    } catch (error) {
      if (!(error instanceof CastellanError)) throw error
      stderr.write(`${command}: ${printable(name)}: ${printable(error.message)}\n`)
      code = EXIT_FAILURE
    }
  }
  return code
}

/** Turns an error about Kafka into one line for the user. */
export const failing = <Value>(asked: Promise<Value>): Promise<Value> =>
  asked.catch((error: unknown) => {
    throw error instanceof CastellanError ? new CommandError(error.message) : error
  })
