import type { Command } from 'commander'
import { printable } from '../../core/printable.js'
import { EXIT_OK, type Process } from '../command.js'
import { UsageError } from '../usage-error.js'
import { lines } from './lines.js'
import { PixyClient, type PixyFlags } from './pixy-client.js'

interface ProduceFlags extends PixyFlags {
  readonly key?: string
  readonly header?: readonly string[]
  readonly async?: boolean
  readonly quiet?: boolean
}

/** Writes the message of the command line, or each line of stdin, one after another. */
export async function produce(line: Command, process: Process): Promise<number> {
  const [topic, message] = line.args as [string, string | undefined]
  const { key, header = [], async: isAsync = false, quiet = false } = line.opts<ProduceFlags>()
  const headers = { 'content-type': 'text/plain', ...messageHeaders(header) }
  const query = { key, sync: isAsync ? undefined : (true as const) }
  const client = new PixyClient(line)
  try {
    const messages = message === undefined ? lines(process.stdin) : [Buffer.from(message)]
    for await (const body of messages) {
      if (process.stopped.aborted) break
      const place = await client.demand(topic, 'messages', { method: 'POST', query, headers, body })
      if (!quiet && !isAsync) process.stdout.write(`${placeOf(place)}\n`)
    }
    return EXIT_OK
  } finally {
    client.close()
  }
}

function placeOf(answer: unknown): string {
  const { partition, offset } = answer as { partition?: unknown; offset?: unknown }
  return printable(`${partition} ${offset}`)
}

/** `Trace=abc` becomes the header `X-Kafka-Trace`, its value in base64. */
function messageHeaders(given: readonly string[]): Record<string, string> {
  const headers = new Map<string, string>()
  for (const text of given) {
    const [, name, value] = text.match(/^([!#$%&'*+.^_`|~\w-]+)=(.*)$/s) ?? []
    if (name === undefined) throw new UsageError(`--header takes NAME=VALUE, not "${text}"`)
    headers.set(`x-kafka-${name}`, Buffer.from(value!).toString('base64'))
  }
  return Object.fromEntries(headers)
}
