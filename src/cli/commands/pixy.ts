import { Argument, type Command, Option } from 'commander'
import { printable } from '../../core/printable.js'
import { type CommandDescription, type Process, UsageError } from '../command.js'
import { linesOf } from '../line-records.js'
import { consumeCommand } from '../pixy/consume.js'
import { offsetsCommand, pixyGroupsCommand } from '../pixy/groups.js'
import { type PixyFlags, pixyOptions, topic, withPixyClient } from '../pixy/pixy-client.js'

const every = (text: string, former: readonly string[] = []): readonly string[] => [...former, text]

const produceCommand: CommandDescription = {
  name: 'produce',
  summary: 'writes one message, or each line of stdin as a message',
  arguments: [topic, new Argument('[MESSAGE]')],
  options: [
    new Option('-k, --key <KEY>', 'key of the messages (default: no key, and any partition)'),
    new Option('-H, --header <NAME=VALUE>', 'header of the messages; repeatable').argParser(every),
    new Option('--async', 'does not wait until the messages are in Kafka'),
    new Option('-q, --quiet', 'writes nothing to stdout'),
    ...pixyOptions
  ],
  notes: 'Writes partition and offset of each message. It stops at the first message that the server refuses.',
  examples: [
    'castellan pixy produce orders hello',
    'castellan pixy produce orders --key k1 --header Trace=abc < messages.txt',
    'castellan pixy produce orders hello --addr /run/kafka-pixy.sock'
  ],
  run: produce
}

/** `castellan pixy`: a client of Kafka-Pixy's HTTP API. */
export const pixyCommand: CommandDescription = {
  name: 'pixy',
  summary: "produces and consumes over Kafka-Pixy's HTTP API",
  options: [],
  notes:
    "A client of Castellan's Kafka-Pixy API or of Kafka-Pixy itself. The server needs a port of its own (apis.kafka-pixy.port), or --addr names a URL such as http://127.0.0.1:8080/pixy.",
  examples: ['castellan pixy produce orders hello', 'castellan pixy consume orders billing --follow'],
  commands: [produceCommand, consumeCommand, offsetsCommand, pixyGroupsCommand]
}

interface ProduceFlags extends PixyFlags {
  readonly key?: string
  readonly header?: readonly string[]
  readonly async?: boolean
  readonly quiet?: boolean
}

async function produce(line: Command, process: Process): Promise<number> {
  const [topic, message] = line.args as [string, string | undefined]
  const { key, header = [], async: isAsync = false, quiet = false } = line.opts<ProduceFlags>()
  const headers = { 'content-type': 'text/plain', ...messageHeaders(header) }
  const query = { key, sync: isAsync ? undefined : (true as const) }
  return withPixyClient(line, async client => {
    const messages = message === undefined ? messagesOf(process.stdin) : [Buffer.from(message)]
    for await (const body of messages) {
      if (process.stopped.aborted) break
      const place = await client.demand(topic, 'messages', { method: 'POST', query, headers, body })
      if (!quiet && !isAsync) process.stdout.write(`${placeOf(place)}\n`)
    }
  })
}

function placeOf(answer: unknown): string {
  const { partition, offset } = answer as { partition?: unknown; offset?: unknown }
  return printable(`${partition} ${offset}`)
}

/** Turns `Trace=abc` into the HTTP header `X-Kafka-Trace` with its value in base64. */
function messageHeaders(given: readonly string[]): Record<string, string> {
  const headers = new Map<string, string>()
  for (const text of given) {
    const [, name, value] = text.match(/^([!#$%&'*+.^_`|~\w-]+)=(.*)$/s) ?? []
    if (name === undefined) throw new UsageError(`--header takes NAME=VALUE, not "${text}"`)
    headers.set(`x-kafka-${name}`, Buffer.from(value!).toString('base64'))
  }
  return Object.fromEntries(headers)
}

async function* messagesOf(stdin: Process['stdin']): AsyncGenerator<Buffer, void, undefined> {
  for await (const lines of linesOf(stdin)) yield* lines.map(withoutReturn)
}

const CARRIAGE_RETURN = 0x0d
const withoutReturn = (line: Buffer): Buffer => (line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line)
