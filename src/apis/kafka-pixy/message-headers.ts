import type { RecordHeader } from '../../core/model.js'

const PREFIX = /^x-kafka-/i
const PREFIX_LENGTH = 'x-kafka-'.length
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** A header whose value is not what it has to be, by its whole name. */
export class HeaderValueError extends Error {}

const NONE: readonly RecordHeader[] = []

/**
 * The headers of a message: what the headers of the request carry whose names begin with `X-Kafka-`, in base64.
 *
 *   x-kafka-foo-BAR: YQ==   =>   Foo-Bar: a
 *
 * @param rawHeaders names and values in turn
 * @throws HeaderValueError when a value is not in base64
 */
export function messageHeadersOf(rawHeaders: readonly string[]): readonly RecordHeader[] {
  let headers: RecordHeader[] | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    if (!PREFIX.test(name)) continue
    headers ??= []
    headers.push(headerOf(capitalized(name), rawHeaders[at + 1]!))
  }
  return headers ?? NONE
}

function headerOf(name: string, value: string): RecordHeader {
  if (!BASE64.test(value)) throw new HeaderValueError(`Invalid base64 encoding for header: ${name}`)
  return { key: name.slice(PREFIX_LENGTH), value: Buffer.from(value, 'base64') }
}

/** Each word with one capital, as Go writes the names of headers. */
const capitalized = (name: string): string =>
  name.toLowerCase().replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase())
