import { createHash, hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { AskedKey } from '../../producer/keys/local-keys.js'
import { principalOf } from '../access/access.js'
import { MAX_KEY_CHARACTERS } from './key-answers.js'
import { originOf } from './request-origin.js'

/** A string of RFC 8941, or the same without quotes as many clients send it. */
const QUOTED = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/
const BARE = /^[!#$%&'*+\-./0-9:=@A-Z^_`a-z|~]+$/

/** The key in a header; `undefined`: the header is not one key. */
export function keyIn(header: string): string | undefined {
  const quoted = QUOTED.exec(header)?.[1]?.replaceAll(/\\(.)/g, '$1')
  const key = quoted ?? (BARE.test(header) ? header : '')
  return key.length > 0 && key.length <= MAX_KEY_CHARACTERS ? key : undefined
}

/** Headers from which APIs make records, and the type of the body. */
const IS_FINGERPRINTED = /^(?:content-type|x-kafka-.*|ce-.*)$/i
const LOWER_CASE = 0x20
const C = 0x63
const X = 0x78
/** Record headers that name one attempt: clients that are traced send others with each. */
const IS_OF_ATTEMPT = /^(?:traceparent|tracestate)$/i

/** Hashes of the client and its key, and of all that makes the request another one. */
export function askedKeyOf(request: IncomingMessage, key: string, body: Buffer): AskedKey {
  const principal = principalOf(request)
  return {
    hash: sha256(`${principal.length} ${principal} ${key}`).slice(0, 12) + nameOfClient(principal),
    fingerprint: fingerprintOf(request, body)
  }
}

/** Where small requests are put together for their hash: the head, and then the body. */
const together = Buffer.allocUnsafeSlow(64 * 1024)
/** Bytes of a character in UTF-8, at most. */
const MAX_CHARACTER_BYTES = 3
/** The head in {@link together}. Most requests have the same as the one before. */
let writtenHead = ''
let writtenBytes = 0

function fingerprintOf(request: IncomingMessage, body: Buffer): string {
  const head = headOf(request)
  if (head.length * MAX_CHARACTER_BYTES + body.length > together.length) {
    return createHash('sha256').update(head).update(body).digest('binary').slice(0, 8)
  }
  if (head !== writtenHead) {
    writtenHead = head
    writtenBytes = together.write(head)
  }
  body.copy(together, writtenBytes)
  return sha256(together.subarray(0, writtenBytes + body.length)).slice(0, 8)
}

const MAX_CLIENTS = 1_000
const clients = new Map<string, string>()

/** The name of a client in the hashes of its keys. Those of recent clients are remembered, because a hash takes its time. */
function nameOfClient(principal: string): string {
  let name = clients.get(principal)
  if (name !== undefined) return name
  name = sha256(principal).slice(0, 4)
  if (clients.size >= MAX_CLIENTS) clients.clear()
  clients.set(principal, name)
  return name
}

const sha256 = (data: string | Buffer): string => hash('sha256', data, 'binary')

/** What of a request counts beside its body. Each line but the last ends with a line break, and none of these is empty. */
function headOf(request: IncomingMessage): string {
  const { method, url, rawHeaders } = request
  const lines: (readonly [name: string, line: string])[] = []
  for (const { key, value } of originOf(request).recordHeaders) {
    if (!IS_OF_ATTEMPT.test(key)) lines.push([key, `${JSON.stringify(key)}=${value?.toString('hex')}\n`])
  }
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    // Most names are told by their first letter.
    const first = name.charCodeAt(0) | LOWER_CASE
    if ((first !== C && first !== X) || !IS_FINGERPRINTED.test(name)) continue
    const lowerName = name.toLowerCase()
    lines.push([lowerName, `${lowerName}:${rawHeaders[at + 1]}\n`])
  }
  // Proxies may send the headers of each attempt in another order. Values of one header stay in theirs.
  if (lines.length === 1) return `${method} ${url}\n${lines[0]![1]}\n`
  lines.sort(([one], [other]) => (one < other ? -1 : Number(one > other)))
  return `${method} ${url}\n${lines.map(([, line]) => line).join('')}\n`
}
