import { z } from 'zod'

export type Mode = 'sync' | 'async' | 'websocket'

/** Destination of messages: a topic, and a key, which is `null` when the path has none. */
export interface Destination {
  readonly topic: string
  readonly key: string | null
}

/**
 * The target of a request, or the problem with its path. If there are several problems, Arion names the first in this
 * order.
 */
export type ArionTarget =
  | { readonly type: 'malformedUrl'; readonly details: string }
  | { readonly type: 'unknownResource' }
  | { readonly type: 'stats' }
  | { readonly type: 'health' }
  | { readonly type: 'malformedTopic' }
  /** Said only when the body is not too large. */
  | { readonly type: 'unsupportedMode' }
  | ({ readonly type: 'produce'; readonly mode: Mode } & Destination)

const malformedTopic: ArionTarget = { type: 'malformedTopic' }
const unknownResource: ArionTarget = { type: 'unknownResource' }

/** Arion's routes. The path is compared as it was sent; only topic and key are decoded. */
const PRODUCE = /^\/([\w.-]+)\/([^/]+)(?:\/([\s\S]+)?)?$/
const TOPIC = /^(?!\.{1,2}$)[\w.-]{1,249}$/

export const topicName = z.string().regex(TOPIC)

/**
 * @param path as it was sent, one character per byte, without the query
 * @param producesByGet whether `GET` produces an empty message as it did in Arion
 */
export function targetOf(method: string, path: string, producesByGet: boolean): ArionTarget {
  const details = urlProblem(path)
  if (details !== undefined) return { type: 'malformedUrl', details }
  if (path === '/stats') return method === 'GET' ? { type: 'stats' } : unknownResource
  if (path === '/health-check') return method === 'GET' || method === 'HEAD' ? { type: 'health' } : unknownResource
  const match = method === 'POST' || method === 'GET' ? PRODUCE.exec(path) : null
  if (match === null) return unknownResource
  const [, mode = '', topicText = '', keyText] = match
  if (method === 'GET' && !producesByGet && (mode === 'sync' || mode === 'async')) return unknownResource
  const topic = decode(topicText)
  if (!TOPIC.test(topic)) return malformedTopic
  if (mode !== 'sync' && mode !== 'async' && mode !== 'websocket') return { type: 'unsupportedMode' }
  return { type: 'produce', mode, topic, key: keyText === undefined ? null : decode(keyText) }
}

/** Characters that java.net.URI accepts in a path: legal ones, bytes beyond ASCII, and percent escapes. */
const LEGAL_URL = /^(?:[\w\-.!~*'():@&=+$,;/#\x80-\xff]|%[\dA-Fa-f]{2})*$/
const ILLEGAL = /[^\w\-.!~*'():@&=+$,;/#\x80-\xff%]|%(?![\dA-Fa-f]{2})/

/** Describes the problem with a path in the words of java.net.URI. */
function urlProblem(path: string): string | undefined {
  if (LEGAL_URL.test(path)) return undefined
  const index = path.search(ILLEGAL)
  const what = path[index] === '%' ? 'Malformed escape pair' : 'Illegal character in path'
  return `${what} at index ${index}: ${path}`
}

/**
 * Decodes like a form: `%XX` is a byte, `+` a space, and the bytes are UTF-8, where invalid bytes become U+FFFD.
 *
 *   a%2Fb+c   =>   a/b c
 */
function decode(text: string): string {
  if (!/[%+\x80-\xff]/.test(text)) return text
  const bytes = Buffer.alloc(text.length)
  let length = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x25) {
      bytes[length++] = Number.parseInt(text.slice(at + 1, at + 3), 16)
      at += 2
    } else bytes[length++] = code === 0x2b ? 0x20 : code
  }
  return bytes.toString('utf8', 0, length)
}
