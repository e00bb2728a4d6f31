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
function consume(line: Command, process: Process): Promise<number> {
  return withPixyClient(line, client => new Consumer(line, client, process).run())
}

class Consumer {
  readonly #topic: string
  readonly #group: string
  readonly #flags: ConsumeFlags
  readonly #client: PixyClient
  readonly #process: Process
  /** The message that is written but not acknowledged yet. */
  #written: Message | undefined

  constructor(line: Command, client: PixyClient, process: Process) {
    ;[this.#topic, this.#group] = line.args as [string, string]
    this.#flags = line.opts<ConsumeFlags>()
    this.#client = client
    this.#process = process
  }

  async run(): Promise<void> {
    const { count = Number.POSITIVE_INFINITY, follow = false } = this.#flags
    try {
      for (let written = 0; written < count; ) {
        const answer = await this.#poll()
        if (answer === undefined) break
        if (answer.status === OK) {
          await this.#write(toMessage(answer.body))
          written++
        } else if (answer.status === LONG_POLL_TIMEOUT) {
          if (!follow) break
        } else if (follow && BUSY.has(answer.status)) await this.#pause(answer)
        else throw refusal(answer)
      }
    } finally {
      await this.#ackLast()
    }
  }

  /** Asks for one message. `undefined`: a signal has ended the poll. */
  async #poll(): Promise<PixyAnswer | undefined> {
    const { stopped } = this.#process
    if (stopped.aborted) return undefined
    const answer = this.#client.ask(this.#topic, 'messages', { query: this.#query(), signal: stopped })
    try {
      const { status } = await answer
      if (status === OK || status === LONG_POLL_TIMEOUT) this.#written = undefined
      return await answer
    } catch (error) {
      if (stopped.aborted) return undefined
      throw error
    }
  }

  #query() {
    const { ack = 'written' } = this.#flags
    const query = { group: this.#group }
    if (ack === 'auto') return query
    const written = this.#written
    if (ack === 'none' || written === undefined) return { ...query, noAck: true as const }
    return { ...query, ackPartition: written.partition, ackOffset: written.offset }
  }

  async #write(message: Message): Promise<void> {
    const { stdout, stopped } = this.#process
    const { format = 'value', ack = 'written' } = this.#flags
    const text = format === 'json' ? this.#toJson(message) : this.#toText(message, format)
    if (!stdout.write(text)) await once(stdout, 'drain', { signal: stopped }).catch(() => undefined)
    if (stdout.errored) throw new CommandError('stdout has been closed; the last message is not acknowledged')
    if (ack === 'written') this.#written = message
  }

  #toText({ key, value, partition, offset }: Message, format: LineStyle): Buffer {
    const record = { offset, timestampMs: 0, key: decoded(key), value: decoded(value), headers: [] }
    const look = { format, isTerminal: this.#process.stdout.isTTY }
    return formatRecord(look, { topic: this.#topic, partition }, record)
  }

  #toJson({ key, value, partition, offset, headers = [] }: Message): string {
    const line = {
      topic: this.#topic,
      partition,
      offset,
      key: toJson(decoded(key)),
      value: toJson(decoded(value)),
      headers: headers.map(header => ({ key: header.key, value: toJson(decoded(header.value)) }))
    }
    return `${printableJson(JSON.stringify(line))}\n`
  }

  /**
   * Acknowledges the last message by a request of its own, because no poll follows that could carry the
   * acknowledgement.
   */
  async #ackLast(): Promise<void> {
    if (!this.#written) return
    const { partition, offset } = this.#written
    const query = { group: this.#group, partition, offset }
    await this.#client.demand(this.#topic, 'acks', { method: 'POST', query })
  }

  async #pause({ retryAfter = DEFAULT_PAUSE_SECONDS }: PixyAnswer): Promise<void> {
    const { stopped } = this.#process
    await sleep(retryAfter * 1_000, undefined, { signal: stopped }).catch(() => undefined)
  }
}

const decoded = (base64: string | null): Buffer | null => (base64 === null ? null : Buffer.from(base64, 'base64'))

function toMessage(body: unknown): Message {
  const message = body as Message | null
  const isMessage = Number.isInteger(message?.partition) && Number.isInteger(message?.offset)
  if (!isMessage) throw new CommandError('the answer of the server is not a message')
  return message!
}
