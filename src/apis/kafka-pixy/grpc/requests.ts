import { fileURLToPath } from 'node:url'
import { loadPackageDefinition, type ServiceClientConstructor, status } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { CastellanError } from '../../../core/errors.js'
import type { MethodName, Methods } from './messages.js'
import { StatusError } from './statuses.js'

/** The definition of the service; it is part of the package, for clients. */
export const PROTO_FILE = fileURLToPath(new URL('../kafka-pixy.proto', import.meta.url))

/** The constructor of clients, which holds the definition of the service. */
export function loadDefinition(): ServiceClientConstructor {
  const definition = loadSync(PROTO_FILE, { keepCase: true, longs: Number, defaults: true, objects: true })
  return loadPackageDefinition(definition)['KafkaPixy'] as ServiceClientConstructor
}

const { service } = loadDefinition()

interface RepeatedField {
  /** The largest number of a field of the request. */
  readonly field: number
  readonly name: string
  readonly max: number
  /** Fields of the request that are truth values; all others begin with their length. */
  readonly booleans: readonly number[]
}
/** Repeated fields. Over HTTP, a message has at most 100 headers; offsets have the same limit. */
const LISTS: Partial<Record<MethodName, RepeatedField>> = {
  Produce: { field: 7, name: 'headers', max: 1_000, booleans: [4, 6] },
  SetOffsets: { field: 4, name: 'offsets', max: 10_000, booleans: [] }
}
/** Memory that one element takes once it is an object, its texts and bytes not counted: they are in the request. */
const ELEMENT_BYTES = 256
/** Sizes of values by their wire type; those of varints and of bytes are in the value. */
const FIXED_BYTES: ReadonlyMap<number, number> = new Map([
  [1, 8],
  [3, 0],
  [4, 0],
  [5, 4]
])

/**
 * Decodes a request. Its elements are counted before, because a megabyte may hold half a million of them.
 *
 * @param hold counts memory, or refuses it
 * @throws StatusError
 */
export function decodeRequest<Name extends MethodName>(
  name: Name,
  bytes: Buffer,
  hold: (sizeBytes: number) => void
): Methods[Name][0] {
  try {
    hold(countElements(bytes, LISTS[name]) * ELEMENT_BYTES)
    return service[name]!.requestDeserialize(bytes) as Methods[Name][0]
  } catch (error) {
    if (error instanceof StatusError || error instanceof CastellanError) throw error
    throw new StatusError(status.INTERNAL, 'Error deserializing request')
  }
}

/**
 * Counts elements as protobufjs reads them, or throws. It reads each field that it knows as of its own type, whatever type
 * the message says, and most numbers as of one to five bytes, or of ten.
 *
 * Source: https://protobuf.dev/programming-guides/encoding
 */
function countElements(bytes: Buffer, list: RepeatedField | undefined): number {
  let at = 0
  let elements = 0
  const varint = (maxBytes = 5): number => {
    let value = 0
    for (let factor = 1; maxBytes > 0; maxBytes--, factor *= 128) {
      const byte = bytes.readUInt8(at++)
      value += (byte & 127) * factor
      if (byte < 128) return value % 2 ** 32
    }
    throw new RangeError('a number is too long')
  }
  while (at < bytes.length) {
    const key = varint()
    const field = Math.floor(key / 8)
    const type = key % 8
    if (field === list?.field && ++elements > list.max) {
      throw new StatusError(status.INVALID_ARGUMENT, `more than ${list.max} ${list.name}`)
    }
    const isKnown = list !== undefined && field <= list.field
    if (isKnown && type !== (list.booleans.includes(field) ? 0 : 2)) throw new RangeError('a field of another type')
    const fixedBytes = FIXED_BYTES.get(type)
    if (fixedBytes !== undefined) at += fixedBytes
    else {
      const value = varint(type === 0 && !isKnown ? 10 : 5)
      if (type === 2) at += value
    }
  }
  // The decoder cuts a value off at the end of the message.
  if (at !== bytes.length) throw new RangeError('a value ends behind the message')
  return elements
}
