import type { DescMessage, Registry } from '@bufbuild/protobuf'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import { foreignTexts } from '../core/foreign-texts.js'
import {
  type Codec,
  type Json,
  lengthOf,
  Misfit,
  parseExactly,
  type SchemaSource,
  TooManyBytes,
  TooMuchJson,
  Undecodable
} from './codec.js'
import { CostsOfTypes, RecordCost } from './protobuf-cost.js'
import { readFiles } from './protobuf-files.js'
import { ProtobufJson } from './protobuf-json.js'

const MAX_PATH = 100
/** Measured: the memory of the well-known types, for a character of a file, and for a field of a type that did not come with it. */
const LEAST_HELD_BYTES = 75_000
const BYTES_PER_CHARACTER = 100
const BYTES_PER_BROUGHT_FIELD = 2_500
const MAX_WIDTH = 2_000

/** @throws Error with the reason why it is no file of Protobuf with a message */
export function createProtobuf({ text, used }: SchemaSource): Codec {
  const { registry, messages, broughtFields } = readFiles({ text, used })
  const [first] = messages
  if (first === undefined) throw new Error('it has no message')
  const widest = Math.max(...[...registry].map(type => (type.kind === 'message' ? type.fields.length : 0)))
  if (widest > MAX_WIDTH) throw new Error(`a message has more than ${MAX_WIDTH} fields`)
  const heldBytes =
    LEAST_HELD_BYTES + BYTES_PER_CHARACTER * lengthOf({ text, used }) + BYTES_PER_BROUGHT_FIELD * broughtFields
  return new ProtobufCodec(registry, messages, first, heldBytes)
}

class ProtobufCodec implements Codec {
  readonly name: string
  readonly heldBytes: number
  readonly #messages: readonly DescMessage[]
  readonly #first: DescMessage
  readonly #types: CostsOfTypes
  readonly #jsons: ProtobufJson

  /** @param messages of the file; `first` is the one for JSON */
  constructor(registry: Registry, messages: readonly DescMessage[], first: DescMessage, heldBytes: number) {
    this.name = first.typeName
    this.heldBytes = heldBytes
    this.#messages = messages
    this.#first = first
    this.#types = new CostsOfTypes(registry)
    this.#jsons = new ProtobufJson(registry)
  }

  encode(json: string, maxBytes: number): Buffer {
    const value = parseExactly(json, BigInt) as Json
    new RecordCost(this.#types).addJson(this.#first, value)
    // The byte is the path to the first message, in its short form.
    const bytes = Buffer.concat([PATH_TO_FIRST, fitted(() => this.#jsons.encode(this.#first, value))])
    if (bytes.length > maxBytes) throw new TooManyBytes(maxBytes)
    return bytes
  }

  decode(bytes: Buffer, maxBytes: number): string {
    const source = new BinaryReader(bytes)
    const message = messageAt(this.#messages, source)
    const payload = bytes.subarray(source.pos)
    new RecordCost(this.#types, maxBytes).addBytes(message, new BinaryReader(payload))
    const json = this.#jsons.decode(message, payload)
    if (Buffer.byteLength(json) > maxBytes) throw new TooMuchJson(maxBytes)
    return json
  }
}

const PATH_TO_FIRST = Buffer.alloc(1)

/** The errors of the library name the field, and say what is wrong with it. */
function fitted<Value>(work: () => Value): Value {
  try {
    return work()
  } catch (error) {
    if (error instanceof Misfit || error instanceof RangeError) throw error
    const { message, cause } = error as Error & { readonly cause?: { field?(): { readonly name: string } } }
    const name = cause?.field?.().name
    if (name === undefined) throw new Misfit(message)
    throw new Misfit(message.replace(foreignTexts['@bufbuild/protobuf'].beginning, ''), [name])
  }
}

/** The message that the path before the payload leads to: its place in the file, then its places in those around it. */
function messageAt(messages: readonly DescMessage[], source: BinaryReader): DescMessage {
  const length = source.sint32()
  let message: DescMessage | undefined
  for (let left = Math.min(Math.max(length, 1), MAX_PATH); left > 0; left--) {
    const place = length === 0 ? 0 : source.sint32()
    // Where compilers have described a file, entries of maps have places, too.
    const name = message?.proto.nestedType[place]?.name
    message = message === undefined ? messages[place] : message.nestedMessages.find(one => one.name === name)
    if (message === undefined) throw new Undecodable('its schema has no such message')
  }
  return message!
}
