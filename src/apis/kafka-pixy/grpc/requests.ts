import { status } from '@grpc/grpc-js'
import { FieldReader, MalformedMessageError, textOf, WIRE } from './field-reader.js'
import type { MethodName, Methods } from './messages.js'
import { StatusError } from './statuses.js'

/** Limits of the elements of a repeated field. Over HTTP, a message has at most 100 headers; offsets have the same limit. */
const MAX_HEADERS = 1_000
const MAX_OFFSETS = 10_000
/** Memory that one element takes once it is an object, its texts and bytes not counted: they are in the request. */
const ELEMENT_BYTES = 256

type Kind = 'text' | 'bytes' | 'flag' | 'int32' | 'int64'
interface RepeatedField {
  readonly name: string
  readonly of: MessageFields
  readonly max: number
}
/** Fields by number, as in kafka-pixy.proto. */
type MessageFields = ReadonlyMap<number, readonly [name: string, kind: Kind] | RepeatedField>

const RECORD_HEADER: MessageFields = new Map([
  [1, ['key', 'text']],
  [2, ['value', 'bytes']]
])
/** Other fields of an offset are ignored. */
const PARTITION_OFFSET: MessageFields = new Map([
  [1, ['partition', 'int32']],
  [5, ['offset', 'int64']],
  [7, ['metadata', 'text']]
])

const CLUSTER: MessageFields = new Map([[1, ['cluster', 'text']]])
const TOPIC: MessageFields = new Map([...CLUSTER, [2, ['topic', 'text']]])
const GROUP: MessageFields = new Map([...TOPIC, [3, ['group', 'text']]])

const REQUESTS: { readonly [Name in MethodName]: MessageFields } = {
  Produce: new Map([
    ...TOPIC,
    [3, ['key_value', 'bytes']],
    [4, ['key_undefined', 'flag']],
    [5, ['message', 'bytes']],
    [6, ['async_mode', 'flag']],
    [7, { name: 'headers', of: RECORD_HEADER, max: MAX_HEADERS }]
  ] as const),
  ConsumeNAck: new Map([
    ...GROUP,
    [4, ['no_ack', 'flag']],
    [5, ['auto_ack', 'flag']],
    [6, ['ack_partition', 'int32']],
    [7, ['ack_offset', 'int64']]
  ] as const),
  Ack: new Map([...GROUP, [4, ['partition', 'int32']], [5, ['offset', 'int64']]] as const),
  GetOffsets: GROUP,
  SetOffsets: new Map([...GROUP, [4, { name: 'offsets', of: PARTITION_OFFSET, max: MAX_OFFSETS }]] as const),
  ListTopics: new Map([...CLUSTER, [2, ['with_partitions', 'flag']]] as const),
  ListConsumers: GROUP,
  GetTopicMetadata: new Map([...TOPIC, [3, ['with_partitions', 'flag']]] as const)
}

/** Names and sizes of a request: enough to refuse it. */
export interface ScannedRequest<Name extends MethodName> {
  readonly cluster: string
  /** Empty in requests that have none; so is the group. */
  readonly topic: string
  readonly group: string
  /** Bytes of key and value. */
  readonly recordBytes: number
  /** Memory that {@link read} takes beside the bytes of the request. */
  readonly objectBytes: number
  /** Reads the whole request. @throws StatusError */
  read(): Methods[Name][0]
}

/**
 * Scans a request at a cost that does not depend on its contents: each field takes two numbers at most. As
 * protobuf has it, the last of several values counts, and a field that is unknown, or of another kind, is ignored.
 *
 * @throws StatusError when it is no such message, or has too many elements
 */
export function scanRequest<Name extends MethodName>(name: Name, bytes: Buffer): ScannedRequest<Name> {
  return orStatus(() => {
    const scan = new MessageScan(REQUESTS[name], bytes, 0, bytes.length)
    return {
      cluster: scan.text('cluster'),
      topic: scan.text('topic'),
      group: scan.text('group'),
      recordBytes: scan.lengthOf('key_value') + scan.lengthOf('message'),
      objectBytes: scan.elements * ELEMENT_BYTES,
      read: () => orStatus(() => scan.read() as Record<string, unknown> & Methods[Name][0])
    }
  })
}

/** The words of grpc-js. */
function orStatus<Result>(run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    if (error instanceof MalformedMessageError) throw new StatusError(status.INTERNAL, 'Error deserializing request')
    throw error
  }
}

/** The positions of the values of a message. */
class MessageScan {
  readonly #fields: MessageFields
  readonly #bytes: Buffer
  readonly #start: number
  readonly #end: number
  /** Last value of each field: a number, or where its bytes start and end. */
  readonly #numbers = new Map<string, number>()
  readonly #spans = new Map<string, readonly [start: number, end: number]>()
  /** Elements of all repeated fields. */
  elements = 0

  constructor(fields: MessageFields, bytes: Buffer, start: number, end: number) {
    this.#fields = fields
    this.#bytes = bytes
    this.#start = start
    this.#end = end
    this.#walk(({ name, max }) => {
      if (++this.elements > max) throw new StatusError(status.INVALID_ARGUMENT, `more than ${max} ${name}`)
    })
  }

  text(name: string): string {
    return textOf(this.#span(name))
  }

  lengthOf(name: string): number {
    return this.#span(name).length
  }

  /** @throws MalformedMessageError */
  read(): Record<string, unknown> {
    const lists = new Map<string, Record<string, unknown>[]>()
    if (this.elements > 0) {
      this.#walk(({ name, of }, start, end) => {
        const list = lists.get(name) ?? []
        lists.set(name, list)
        list.push(new MessageScan(of, this.#bytes, start, end).read())
      })
    }
    const message: Record<string, unknown> = {}
    for (const field of this.#fields.values()) {
      if ('of' in field) message[field.name] = lists.get(field.name) ?? []
      else message[field[0]] = this.#valueOf(...field)
    }
    return message
  }

  #valueOf(name: string, kind: Kind): unknown {
    if (kind === 'text') return this.text(name)
    if (kind === 'bytes') return this.#span(name)
    const number = this.#numbers.get(name) ?? 0
    return kind === 'flag' ? number !== 0 : number
  }

  #span(name: string): Buffer {
    return this.#bytes.subarray(...(this.#spans.get(name) ?? [0, 0]))
  }

  /** Reads all fields; reports each element of repeated fields. */
  #walk(onElement: (field: RepeatedField, start: number, end: number) => void): void {
    const reader = new FieldReader(this.#bytes, this.#start, this.#end)
    while (reader.next()) {
      const field = this.#fields.get(reader.field)
      if (field === undefined || reader.wireType !== wireTypeOf(field)) reader.skip()
      else if (reader.wireType === WIRE.bytes) {
        const start = reader.passBytes()
        if ('of' in field) onElement(field, start, reader.at)
        else this.#spans.set(field[0], [start, reader.at])
      } else {
        reader.readVarint()
        this.#numbers.set(
          (field as readonly [string, Kind])[0],
          numberOf((field as readonly [string, Kind])[1], reader)
        )
      }
    }
  }
}

const wireTypeOf = (field: readonly [string, Kind] | RepeatedField): number =>
  'of' in field || field[1] === 'text' || field[1] === 'bytes' ? WIRE.bytes : WIRE.varint

function numberOf(kind: Kind, { low, high }: FieldReader): number {
  if (kind === 'flag') return low | high
  return kind === 'int32' ? low | 0 : (high | 0) * 2 ** 32 + low
}
