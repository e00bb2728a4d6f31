import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { ownText } from '../../src/core/own-text.js'
import { type RequestHead, readHead } from '../../src/http/engine/head.js'

const COUNT = 2_000
const PADDING = 'x'.repeat(15_000)
const limits = { maxHeaderBytes: 16_384, maxHeaders: 100 }

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** Bytes of the heap that remain in use for what is remembered of {@link COUNT} requests. */
function keptBytes(remember: (i: number) => string): number {
  gc()
  const before = process.memoryUsage().heapUsed
  const remembered = Array.from({ length: COUNT }, (_, i) => remember(i))
  gc()
  const kept = process.memoryUsage().heapUsed - before
  expect(remembered).to.have.length(COUNT)
  return kept
}
const headOf = (url: string, name: string, padding: string): RequestHead =>
  readHead(
    Buffer.from(`GET ${url} HTTP/1.1\r\nhost: a\r\nx-name: ${name}\r\nx-padding: ${padding}\r\n\r\n`),
    0,
    limits
  ) as RequestHead
const nameOf = (i: number): string => `a-name-that-is-remembered-${i}`

describe('a name that outlives its request', () => {
  const kinds: readonly (readonly [what: string, remember: (i: number) => string])[] = [
    ['of a header', i => headOf('/', nameOf(i), PADDING).headers['x-name'] as string],
    ['of a path', i => headOf(`/${nameOf(i)}`, 'a', PADDING).url],
    ['of a path with a long query', i => ownText(headOf(`/${nameOf(i)}?${PADDING}`, 'a', '').url.slice(1, 40))],
    ['of a text', i => ownText(`${nameOf(i)} ${PADDING}${i}`.slice(0, 40))]
  ]
  for (const [what, remember] of kinds)
    it(`keeps itself in memory, and not the head that it is a part ${what}`, () => {
      expect(keptBytes(remember)).to.be.lessThan((COUNT * PADDING.length) / 10)
    })

  it('is the same text, whatever its characters are', () => {
    for (const text of ['', 'short', 'a text of several words', 'é\ud800"\\\n\u2028 and more of it']) {
      expect(ownText(text)).to.equal(text)
    }
  })
})
