import { expect } from 'chai'
import { Choices } from './choices.js'
import { differenceOf, normalised, type Seen } from './comparison.js'
import { makeScript } from './make-script.js'
import { fromLiteral, piecesOf, type Script, tidyCuts, toLiteral } from './script.js'
import { shrink } from './shrink.js'

const SEED = 24

describe('fuzzer of engines: scripts', () => {
  it('are the same ones for a seed and a number, whatever came before', () => {
    const one = toLiteral(makeScript(Choices.ofScript(7, 100)))
    makeScript(Choices.ofScript(7, 99))
    expect(toLiteral(makeScript(Choices.ofScript(7, 100)))).to.equal(one)
    expect(toLiteral(makeScript(Choices.ofScript(7, 101)))).to.not.equal(one)
  })

  it('are read again from what is printed, whatever bytes they have', () => {
    for (let index = 0; index < 200; index++) {
      const script = makeScript(Choices.ofScript(SEED, index))
      const again = fromLiteral(toLiteral(script))
      expect(again.bytes.equals(script.bytes), `script ${index}`).to.equal(true)
      expect({ ...again, bytes: '' }).to.deep.equal({ ...script, bytes: '' })
    }
  })

  it('are sent in pieces that are the whole', () => {
    for (let index = 0; index < 200; index++) {
      const script = makeScript(Choices.ofScript(SEED, index))
      const pieces = piecesOf(script).map(({ bytes }) => bytes)
      expect(Buffer.concat(pieces).equals(script.bytes)).to.equal(true)
      expect(pieces.every(({ length }) => length > 0)).to.equal(true)
    }
  })

  it('have what servers get wrong', () => {
    const wanted: Record<string, RegExp> = {
      'a length with a sign': /content-length:[ \t]*[+-]/i,
      'a line with LF only': /[^\r]\n/,
      'a blank before a colon': /^[\w-]+[ \t]+:/m,
      'two lengths': /content-length:.*\r\n(?:.*\r\n)*?content-length:/i,
      'a length and chunks': /content-length: ?\d+\r\n(?:.*:.*\r\n)*?transfer-encoding:/i,
      'a header over two lines': /:.*\r\n[ \t]\S/,
      'a whole URL': / https?:\/\//i,
      'HTTP/1.0': / HTTP\/1\.0\r\n/
    }
    const missing = new Set(Object.keys(wanted))
    for (let index = 0; index < 5_000 && missing.size > 0; index++) {
      const text = makeScript(Choices.ofScript(SEED, index)).bytes.toString('latin1')
      for (const name of missing) if (wanted[name]!.test(text)) missing.delete(name)
    }
    expect([...missing]).to.deep.equal([])
  })

  it('that are no scripts are refused', () => {
    for (const literal of ['', '{}', '{"send":["a"],"ending":"never"}']) expect(() => fromLiteral(literal)).to.throw()
  })
})

describe('fuzzer of engines: comparing', () => {
  const seen = (answers: string, overrides: Partial<Seen> = {}): Seen => ({
    answers,
    fate: 'open',
    handled: [],
    ...overrides
  })
  const answer = (date: string, id: string, body = 'a'): string =>
    `HTTP/1.1 200 OK\r\nDate: ${date}\r\nx-request-id: ${id}\r\n\r\n${body}`
  const one = answer('Sun, 22 Nov 2026 13:00:00 GMT', 'fuzz-1')

  it('takes answers for alike that differ in time and id only', () => {
    const other = answer('Sun, 22 Nov 2026 13:00:01 GMT', 'fuzz-zz')
    expect(differenceOf(seen(one), seen(other))).to.equal(undefined)
    expect(normalised(one)).to.equal(normalised(other))
  })

  it('notices another id of the client, another body, a header without its value, another fate and another handler', () => {
    const cases: [Seen, string][] = [
      [seen(answer('Sun, 22 Nov 2026 13:00:00 GMT', 'mine')), 'answers'],
      [seen(answer('Sun, 22 Nov 2026 13:00:00 GMT', 'fuzz-1', 'b')), 'answers'],
      [seen(answer('', 'fuzz-1')), 'answers'],
      [seen(`${one}${one}`), 'answers'],
      [seen(one, { fate: 'ended' }), 'connection'],
      [seen(one, { handled: [{ head: 'a', body: undefined }] }), 'handler']
    ]
    for (const [other, kind] of cases) expect(differenceOf(seen(one), other), kind).to.equal(kind)
  })

  it('takes an answer for lost that a reset has overtaken, only where bytes were sent after the end', () => {
    const ended = seen(`${one}${one}`, { fate: 'ended' })
    const reset = seen(one, { fate: 'reset' })
    expect([differenceOf(ended, reset, true), differenceOf(reset, ended, true)]).to.deep.equal([undefined, undefined])
    expect(differenceOf(ended, reset)).to.equal('answers')
    expect(differenceOf(ended, { ...ended, fate: 'reset' })).to.equal('connection')
    expect(differenceOf({ ...ended, fate: 'open' }, reset, true)).to.equal('answers')
    expect(differenceOf(ended, seen(one, { fate: 'ended' }), true)).to.equal('answers')
  })

  it('does not compare how much was sent of a long answer that both have cut, and of no other', () => {
    const begun = `${one}HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n`
    const cut = (chars: number, char = 'x'): Seen => seen(begun + char.repeat(chars), { fate: 'ended' })
    expect(differenceOf(cut(100_000), cut(200_000), true)).to.equal(undefined)
    for (const [other, what] of [
      [cut(600_000), 'whole'],
      [cut(100), 'hardly begun'],
      [cut(200_000, 'y'), 'another one'],
      [{ ...cut(200_000), fate: 'open' }, 'not over'],
      [seen(one, { fate: 'ended' }), 'without it']
    ] as const) {
      expect(differenceOf(cut(100_000), other, true), what).to.equal('answers')
      expect(differenceOf(other, cut(100_000), true), what).to.equal('answers')
    }
    expect(differenceOf(cut(100_000), cut(200_000)), 'all bytes sent at once').to.equal('answers')
  })
})

describe('fuzzer of engines: making smaller', () => {
  it('keeps what is needed, and no more', async () => {
    const script: Script = {
      bytes: Buffer.from(`${'x'.repeat(300)}AB${'y'.repeat(300)}C`),
      cuts: tidyCuts(
        [
          { at: 10, pause: 2 },
          { at: 301, pause: 1 },
          { at: 500, pause: 'quiet' }
        ],
        603
      ),
      ending: 'half'
    }
    const shows = async ({ bytes, cuts }: Script): Promise<boolean> => {
      const at = bytes.indexOf('AB')
      return at >= 0 && bytes.includes('C') && cuts.some(cut => cut.at === at + 1)
    }
    const smallest = await shrink(script, shows, 1_000)
    expect(toLiteral(smallest)).to.equal('{"send":["A","quiet","BC"],"ending":"probe"}')
  })
})
