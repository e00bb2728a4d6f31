import type { IncomingMessage } from 'node:http'
import { expect } from 'chai'
import { askedKeyOf } from '../../../src/http/api/asked-key.js'
import { type IsWanted, rawHeadersOf } from '../../../src/http/engine/head.js'

const JSON_LINE = 'Content-Type: application/json'
const KEY_LINE = 'Idempotency-Key: k'
/** Heads that follow each other on a connection, as lines. */
const heads: readonly (readonly string[])[] = [
  [KEY_LINE],
  [JSON_LINE, KEY_LINE],
  [KEY_LINE, JSON_LINE],
  [JSON_LINE, JSON_LINE],
  [JSON_LINE, 'ce-id: 1'],
  ['content-type:  application/json '],
  ['content-type: text/plain'],
  ['Content-Length: 1', JSON_LINE, 'x-kafka-key: a'],
  [JSON_LINE],
  ['Content-Types: a', 'Cookie: content-type', 'X-Kafkas: a', 'ce: 1'],
  [KEY_LINE]
]

describe('the fingerprint of a request', () => {
  const body = Buffer.from('body')
  const request = (url: string, lines: readonly string[], isOfEngine: boolean): IncomingMessage => {
    const text = `${lines.join('\r\n')}\r\n\r\n`
    const rawHeadersWith = (isWanted: IsWanted): readonly string[] => rawHeadersOf(text, isWanted)
    const own = isOfEngine ? { rawHeadersWith } : {}
    return { method: 'POST', url, headers: {}, rawHeaders: rawHeadersOf(text), ...own } as unknown as IncomingMessage
  }
  const fingerprintOf = (url: string, lines: readonly string[], isOfEngine: boolean): string =>
    askedKeyOf(request(url, lines, isOfEngine), 'k', body).fingerprint

  it('is the same whatever request came before it', () => {
    for (const before of heads) {
      for (const lines of heads) {
        for (const url of ['/a', '/b']) {
          const expected = fingerprintOf(url, lines, false)
          fingerprintOf('/a', before, true)
          expect(fingerprintOf(url, lines, true), `${lines} behind ${before}`).to.equal(expected)
        }
      }
    }
  })

  it('tells headers of records and types of bodies apart, and no others', () => {
    const different = new Set(heads.map(lines => fingerprintOf('/a', lines, true)))
    expect(different.size).to.equal(6)
  })
})
