import { messageOf } from '../../core/node-errors.js'
import { PeerError } from '../calls/peers.js'

/** The body of a call or of an answer: its JSON as UTF-8, preceded by its length, then the bytes of all Buffers. */
const LENGTH_BYTES = 4

/**
 * Encodes a value of JSON that may also contain Buffers, `bigint`, Maps and `undefined`. Buffers are not copied into
 * the JSON, so records cost no base64.
 *
 *   { offset: 7, value: Buffer 'ab' }   =>   00 00 00 26 {"offset":7,"value":{"$bytes":[0,2]}} ab
 */
export function encodeBody(value: unknown): Buffer {
  const bytes: Uint8Array[] = []
  let length = 0
  const pack = (item: unknown): unknown => {
    if (item === undefined) return { $undefined: true }
    if (typeof item === 'bigint') return { $bigint: item.toString() }
    if (typeof item !== 'object' || item === null) return item
    if (item instanceof Uint8Array) {
      bytes.push(item)
      length += item.length
      return { $bytes: [length - item.length, item.length] }
    }
    if (Array.isArray(item)) return item.map(pack)
    if (item instanceof Map) return { $map: [...item].map(([key, one]) => [pack(key), pack(one)]) }
    const entries = Object.entries(item).filter(([, one]) => one !== undefined)
    if (entries.some(([key]) => key.startsWith('$'))) return { $object: entries.map(([key, one]) => [key, pack(one)]) }
    return Object.fromEntries(entries.map(([key, one]) => [key, pack(one)]))
  }
  const json = Buffer.from(JSON.stringify(pack(value)))
  const head = Buffer.alloc(LENGTH_BYTES)
  head.writeUInt32BE(json.length)
  return Buffer.concat([head, json, ...bytes])
}

/**
 * The value that {@link encodeBody} has encoded. Its Buffers are views of `body`.
 *
 * @throws PeerError when the body is damaged
 */
export function decodeBody(body: Buffer): unknown {
  const start = body.length < LENGTH_BYTES ? Number.POSITIVE_INFINITY : LENGTH_BYTES + body.readUInt32BE()
  if (start > body.length) throw new PeerError('the body ends too early')
  const unpack = (item: unknown): unknown => {
    if (typeof item !== 'object' || item === null) return item
    if (Array.isArray(item)) return item.map(unpack)
    const entries = Object.entries(item)
    const [[key, inner] = ['', undefined]] = entries
    if (!key.startsWith('$')) return Object.fromEntries(entries.map(([name, one]) => [name, unpack(one)]))
    switch (key) {
      case '$undefined':
        return undefined
      case '$bigint':
        if (!/^-?\d{1,40}$/.test(String(inner))) throw new Error('a number is too long')
        return BigInt(inner as string)
      case '$bytes': {
        const [from, length] = inner as [number, number]
        if (!(from >= 0 && length >= 0 && start + from + length <= body.length)) throw new Error('bytes are missing')
        return body.subarray(start + from, start + from + length)
      }
      case '$map':
        return new Map((inner as [unknown, unknown][]).map(([name, one]) => [unpack(name), unpack(one)]))
      case '$object':
        return Object.fromEntries((inner as [string, unknown][]).map(([name, one]) => [name, unpack(one)]))
      default:
        throw new Error(`${key} is unknown`)
    }
  }
  try {
    return unpack(JSON.parse(body.toString('utf8', LENGTH_BYTES, start)))
  } catch (error) {
    throw new PeerError(`the body cannot be decoded: ${messageOf(error)}`)
  }
}
