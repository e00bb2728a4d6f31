import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Command, Option } from 'commander'
import { printableJson } from '../../core/printable.js'
import { type CommandDescription, CommandError, type Process } from '../command.js'
import { wholeNumber } from '../options.js'
import { formatRecord, type LineStyle, recordFormats, toJson } from '../record-format.js'
import {
  group,
  type PixyAnswer,
  type PixyClient,
  type PixyFlags,
  pixyOptions,
  refusal,
  topic,
  withPixyClient
} from './pixy-client.js'

export const consumeCommand: CommandDescription = {
  name: 'consume',
  summary: 'writes messages of a topic to stdout on behalf of a group',
  arguments: [topic, group],
  options: [
    new Option('-n, --count <N>', 'stops after this many messages').argParser(wholeNumber(1)),
    new Option('-f, --follow', 'waits for new messages instead of stopping when there are no more'),
    new Option('--format <FORMAT>', 'value (default), key-value (with a tab between), or json').choices(recordFormats),
    new Option(
      '--ack <WHEN>',
      'written (default): acknowledges a message once it is written; auto: the server acknowledges it with its answer; none: never acknowledges'
    ).choices(['written', 'auto', 'none']),
    ...pixyOptions
  ],
  notes:
    'The first poll of a new group begins at the end of the topic. With --ack written, a message that was not written completely is offered again.',
  examples: [
    'castellan pixy consume orders billing',
    'castellan pixy consume orders billing --follow --format json',
    'castellan pixy consume orders audit --count 10 --ack none'
  ],
  run: consume
}

const OK = 200
const LONG_POLL_TIMEOUT = 408
/** Status codes of a server that is overloaded at the moment. */
const BUSY: ReadonlySet<number> = new Set([429, 503])
const DEFAULT_PAUSE_SECONDS = 1

interface ConsumeFlags extends PixyFlags {
  readonly count?: number
  readonly follow?: boolean
  readonly format?: LineStyle
  readonly ack?: 'written' | 'auto' | 'none'
}

/** A message as Kafka-Pixy writes it: bytes in base64. */
interface Message {
  readonly key: string | null
  readonly value: string | null
  readonly partition: number
  readonly offset: number
  readonly headers?: readonly { readonly key: string; readonly value: string | null }[]
}

/** Writes messages to stdout. With `--ack written`, acknowledges each message once it is written. */
function consume(line: Command, { stdout, stopped }: Process): Promise<number> {
  const [topic, group] = line.args as [string, string]
  const {
    count = Number.POSITIVE_INFINITY,
    follow = false,
    format = 'value',
    ack = 'written'
  } = line.opts<ConsumeFlags>()
  /** The message that is written but not acknowledged yet. */
  let written: Message | undefined
  const queryOf = () => {
    if (ack === 'auto') return { group }
    if (ack === 'none' || written === undefined) return { group, noAck: true as const }
    return { group, ackPartition: written.partition, ackOffset: written.offset }
  }
  const write = async (message: Message): Promise<void> => {
    const text = format === 'json' ? jsonOf(topic, message) : textOf(topic, message, format, stdout.isTTY)
    if (!stdout.write(text)) await once(stdout, 'drain', { signal: stopped }).catch(() => undefined)
    if (stdout.errored) throw new CommandError('stdout has been closed; the last message is not acknowledged')
    if (ack === 'written') written = message
  }
  /** Asks for one message. `undefined`: a signal has ended the poll. */
  const poll = async (client: PixyClient): Promise<PixyAnswer | undefined> => {
    if (stopped.aborted) return undefined
    const answer = await client
      .ask(topic, 'messages', { query: queryOf(), signal: stopped })
      .catch((error: unknown) => {
        if (!stopped.aborted) throw error
      })
    if (answer?.status === OK || answer?.status === LONG_POLL_TIMEOUT) written = undefined
    return answer ?? undefined
  }
  const consumeAll = async (client: PixyClient): Promise<void> => {
    for (let left = count; left > 0; ) {
      const answer = await poll(client)
      if (answer === undefined) break
      const { status, retryAfter = DEFAULT_PAUSE_SECONDS } = answer
      if (status === OK) {
        await write(toMessage(answer.body))
        left--
      } else if (status === LONG_POLL_TIMEOUT) {
        if (!follow) break
      } else if (follow && BUSY.has(status))
        await sleep(retryAfter * 1_000, undefined, { signal: stopped }).catch(() => undefined)
      else throw refusal(answer)
    }
  }
  return withPixyClient(line, async client => {
    try {
      await consumeAll(client)
    } finally {
      // No poll follows that could carry the acknowledgement.
      if (written !== undefined) {
        const { partition, offset } = written
        await client.demand(topic, 'acks', { method: 'POST', query: { group, partition, offset } })
      }
    }
  })
}

function textOf(
  topic: string,
  { key, value, partition, offset }: Message,
  format: LineStyle,
  isTerminal: boolean
): Buffer {
  const record = { offset, timestampMs: 0, key: decoded(key), value: decoded(value), headers: [] }
  return formatRecord({ format, isTerminal }, { topic, partition }, record)
}

function jsonOf(topic: string, { key, value, partition, offset, headers = [] }: Message): string {
  const line = {
    topic,
    partition,
    offset,
    key: toJson(decoded(key)),
    value: toJson(decoded(value)),
    headers: headers.map(header => ({ key: header.key, value: toJson(decoded(header.value)) }))
  }
  return `${printableJson(JSON.stringify(line))}\n`
}

const decoded = (base64: string | null): Buffer | null => (base64 === null ? null : Buffer.from(base64, 'base64'))

function toMessage(body: unknown): Message {
  const message = body as Message | null
  const isMessage = Number.isInteger(message?.partition) && Number.isInteger(message?.offset)
  if (!isMessage) throw new CommandError('the answer of the server is not a message')
  return message!
}
