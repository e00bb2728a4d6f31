import { createHash, hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { RecordHeader } from '../../core/model.js'
import type { AskedKey } from '../../producer/keys/local-keys.js'
import { principalOf } from '../access/access.js'
import type { IsWanted } from '../engine/head.js'
import type { EngineRequest } from '../engine/request.js'
import { MAX_KEY_CHARACTERS } from './key-answers.js'
import { originOf } from './request-origin.js'

/** A string of RFC 8941, or the same without quotes as many clients send it. */
const QUOTED = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/
const BARE = /^[!#$%&'*+\-./0-9:=@A-Z^_`a-z|~]+$/

/** The key in a header; `undefined`: the header is not one key. */
export function keyIn(header: string): string | undefined {
  const quoted = header.startsWith('"') ? QUOTED.exec(header)?.[1]?.replaceAll(/\\(.)/g, '$1') : undefined
  const key = quoted ?? (BARE.test(header) ? header : '')
  return key.length > 0 && key.length <= MAX_KEY_CHARACTERS ? key : undefined
}

/** Headers from which APIs make records, and the type of the body. */
const IS_FINGERPRINTED = /(?:content-type|x-kafka-[^:]*|ce-[^:]*)(?::|$)/iy
const LOWER_CASE = 0x20
const C = 0x63
const X = 0x78
/** Whether the first letter of a header is one of those that belong to the fingerprint: that of most is not. */
const mayCount: IsWanted = (text, from) => {
  const first = text.charCodeAt(from) | LOWER_CASE
  return first === C || first === X
}
/** Whether a header belongs to the fingerprint. Behind its name is a colon, or nothing. */
const isFingerprinted: IsWanted = (text, from) => {
  IS_FINGERPRINTED.lastIndex = from
  return mayCount(text, from) && IS_FINGERPRINTED.test(text)
}
/** Record headers that name one attempt: clients that are traced send others with each. */
const IS_OF_ATTEMPT = /^(?:traceparent|tracestate)$/i

/** Hashes of the client and its key, and of all that makes the request another one. */
export function askedKeyOf(request: IncomingMessage, key: string, body: Buffer): AskedKey {
  const [start, name] = clientOf(principalOf(request))
  return { hash: sha256(start + key).slice(0, 12) + name, fingerprint: fingerprintOf(request, body) }
}

/** Buffer in which small requests are joined for their hash: first the head, then the body. */
const together = Buffer.allocUnsafeSlow(64 * 1024)
/** Bytes of a character in UTF-8, at most. */
const MAX_CHARACTER_BYTES = 3
/** The head in {@link together}. Most requests have the same as the one before. */
let writtenHead = ''
let writtenBytes = 0
/** Head and body of the last one. */
let view = together

function fingerprintOf(request: IncomingMessage, body: Buffer): string {
  const head = headOf(request)
  if (head.length * MAX_CHARACTER_BYTES + body.length > together.length) {
    return createHash('sha256').update(head).update(body).digest('binary').slice(0, 8)
  }
  if (head !== writtenHead) {
    writtenHead = head
    writtenBytes = together.write(head)
  }
  together.set(body, writtenBytes)
  const bytes = writtenBytes + body.length
  if (view.length !== bytes) view = together.subarray(0, bytes)
  return sha256(view).slice(0, 8)
}

const MAX_CLIENTS = 1_000
const clients = new Map<string, readonly [start: string, name: string]>()

/**
 * The part of the hash that is the same for all keys of a client, and the client's name at the end of its hashes. Kept, because a
 * hash takes time.
 */
function clientOf(principal: string): readonly [start: string, name: string] {
  let client = clients.get(principal)
  if (client !== undefined) return client
  client = [`${principal.length} ${principal} `, sha256(principal).slice(0, 4)]
  if (clients.size >= MAX_CLIENTS) clients.clear()
  clients.set(principal, client)
  return client
}

const sha256 = (data: string | Buffer): string => hash('sha256', data, 'binary')

/** The line of the only header that counts of the last request that has one, and what is hashed of it. No line begins so. */
let lastLine = '\n'
let lastText = ''
/** How often it is in the request that is read. */
let times = 0
const isOther: IsWanted = (text, from) => {
  if (!mayCount(text, from)) return false
  // `startsWith` compares letter by letter, at five times the cost.
  if (text.slice(from, from + lastLine.length) !== lastLine) return isFingerprinted(text, from)
  times++
  return false
}

type Asking = IncomingMessage & Partial<Pick<EngineRequest, 'rawHeadersWith'>>

let last = { method: '', url: '', lines: '', head: '' }

/**
 * The part of a request that belongs to its fingerprint besides the body. Each line but the last ends with a line
 * break, and none of these is empty.
 */
function headOf(request: Asking): string {
  const { method = '', url = '' } = request
  const { recordHeaders } = originOf(request)
  times = 0
  const isAsLast = recordHeaders.length === 0 && request.rawHeadersWith?.(isOther)?.length === 0 && times === 1
  const lines = isAsLast ? lastText : linesOf(request, recordHeaders)
  if (lines !== last.lines || url !== last.url || method !== last.method)
    last = { method, url, lines, head: `${method} ${url}\n${lines}\n` }
  return last.head
}

function linesOf(request: Asking, recordHeaders: readonly RecordHeader[]): string {
  const fields =
    request.rawHeadersWith?.(isFingerprinted) ??
    request.rawHeaders.filter((_, at, { [at - (at % 2)]: name = '' }) => isFingerprinted(name, 0))
  const lines = recordHeaders
    .filter(({ key }) => !IS_OF_ATTEMPT.test(key))
    .map(({ key, value }) => [key, `${JSON.stringify(key)}=${value?.toString('hex')}\n`])
  for (let at = 0; at < fields.length; at += 2) {
    const lowerName = fields[at]!.toLowerCase()
    lines.push([lowerName, `${lowerName}:${fields[at + 1]}\n`])
  }
  if (recordHeaders.length === 0 && fields.length === 2) {
    lastLine = `${fields[0]}: ${fields[1]}\r\n`
    lastText = lines[0]![1]!
  }
  // Proxies may send the headers of each attempt in another order. Values of one header stay in theirs.
  lines.sort(([one = ''], [other = '']) => (one < other ? -1 : Number(one > other)))
  return lines.map(([, line]) => line).join('')
}
