import { expect } from 'chai'
import { Chunks } from '../../../src/http/engine/chunks.js'
import { checkRows } from '../../support/rows.js'

const limits = { maxHeaderBytes: 1_000, maxHeaders: 5 }
const BAD = '400 Bad Request'

/** What is read of bytes that come in pieces of this size: the body, how it ends, and the bytes behind it. */
function read(text: string, pieceBytes = text.length): [body: string, end: string | undefined, behind: string] {
  const bytes = Buffer.from(text, 'latin1')
  const chunks = new Chunks(limits)
  let body = ''
  const taker = { receive: (piece: Buffer) => void (body += piece.toString('latin1')) }
  let at = 0
  while (at < bytes.length && !chunks.isOver && chunks.problem === undefined)
    at += chunks.read(bytes.subarray(at, at + pieceBytes), 0, taker, false)
  return [body, chunks.isOver ? 'over' : chunks.problem, chunks.isOver ? text.slice(at) : '']
}

describe('a body in chunks', () => {
  const good: readonly (readonly [what: string, text: string, body: string])[] = [
    ['nothing', '0\r\n\r\n', ''],
    [
      'sizes in both cases, with zeros before',
      '00A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n',
      '01234567890123456789'
    ],
    ['line ends in it', '4\r\n\r\n\r\n\r\n0\r\n\r\n', '\r\n\r\n'],
    ['extensions', '1;a;b=c;d="e\\"f";=\r\nx\r\n0;g\r\n\r\n', 'x'],
    ['trailers', '1\r\nx\r\n0\r\nA: b\r\nc:\r\n\r\n', 'x']
  ]
  it('is the same in whatever pieces it comes, and leaves what is behind it', () =>
    checkRows(good, ([, text, body]) => {
      for (const behind of ['', 'GET / HTTP/1.1\r\n'])
        for (let pieceBytes = 1; pieceBytes <= text.length; pieceBytes++)
          expect(read(text + behind, pieceBytes), `${pieceBytes}`).to.deep.equal([body, 'over', behind])
      for (let cut = 0; cut < text.length; cut++) expect(read(text.slice(0, cut), 1)[1], `${cut}`).to.equal(undefined)
    }))

  it('is malformed at the byte that Node refuses', () => {
    const sizes = ['\r', ' ', '-', '+', '5 ', '5\t', '0x', '5\n', '5\rX', '10000000000000000', 'g', '1_']
    const extensions = ['5; ', '5;\r', '5;a ', '5;a;\r', '5;a=b=', '5;a="\x01', '5;a="b"c', '5;a="\\\n']
    const data = ['1\r\nxy', '1\r\nx\n', '1\r\nx\rX', '1\r\nx\r\n\r']
    const trailers = [
      '0\r\n ',
      '0\r\n\n',
      '0\r\nX\r',
      '0\r\nA: b\r\n ',
      '0\r\nContent-Length:',
      '0\r\nTransfer-Encoding: c'
    ]
    for (const text of [...sizes, ...extensions, ...data, ...trailers]) {
      for (const pieceBytes of [1, text.length]) expect(read(text, pieceBytes)[1], JSON.stringify(text)).to.equal(BAD)
      expect(read(text.slice(0, -1))[1], JSON.stringify(text)).to.equal(undefined)
    }
  })

  it('has the largest size, and bounded extensions and trailers', () => {
    expect(read(`${'0'.repeat(100)}ffffffffffffffff\r\nx`)).to.deep.equal(['x', undefined, ''])
    const extension = (bytes: number): string => `1;${'a'.repeat(bytes)}`
    expect(read(extension(16_384))[1]).to.equal(undefined)
    expect(read(extension(16_385))[1]).to.equal('413 Payload Too Large')
    for (const pieceBytes of [100, 20_000]) {
      expect(read(`0\r\nA: ${'b'.repeat(998)}`, pieceBytes)[1]).to.equal(undefined)
      expect(read(`0\r\nA: ${'b'.repeat(999)}`, pieceBytes)[1]).to.equal('431 Request Header Fields Too Large')
    }
  })
})
