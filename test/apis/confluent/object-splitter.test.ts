import { expect } from 'chai'
import { ObjectSplitter } from '../../../src/apis/confluent/v3/object-splitter.js'

const MAX_BYTES = 100_000

describe('confluent: objects in a stream of JSON', () => {
  let found: string[]
  let splitter: ObjectSplitter
  beforeEach(() => {
    found = []
    splitter = new ObjectSplitter(MAX_BYTES, bytes => found.push(bytes.toString()))
  })

  for (const size of [1, 2, 3, 5, 1_000]) {
    it(`finds the same objects in pieces of ${size} bytes`, () => {
      const objects = ['{}', '{"a":"}{\\"\\\\"}', '{"b":[{"c":[]},"]"]}', `{"d":"${'x'.repeat(3_000)}"}`, '{"e":"ü"}']
      const body = Buffer.from(objects.join(' \r\n'))
      for (let at = 0; at < body.length; at += size) {
        expect(splitter.push(body.subarray(at, at + size))).to.equal(undefined)
      }
      expect(found).to.deep.equal(objects)
      expect([splitter.keptBytes, splitter.heldBytes]).to.deep.equal([0, 0])
    })
  }

  it('finds the same objects with short and long texts, wherever the bytes are cut and whatever is escaped', () => {
    const long = 'x'.repeat(62)
    const texts = [
      '',
      'y',
      'yz',
      String.raw`\"`,
      String.raw`y\\`,
      String.raw`\n${long}\"`,
      String.raw`${long}${long}\"{`
    ]
    const short = [String.raw`{"value":"a\"b\\"}`, String.raw`{"a":"\\\"{","b":["]",[{}]]}`, String.raw`{"\"":"\\"}`]
    const objects = [...short, ...texts.map(text => `{"a":"${long}${text}${text}","b":"${text}${long}"}`)]
    const body = Buffer.from(objects.join(''))
    for (let cut = 0; cut <= body.length; cut++) {
      for (const piece of [body.subarray(0, cut), body.subarray(cut)]) splitter.push(piece)
      expect(found.splice(0), `cut at ${cut}`).to.deep.equal(objects)
    }
  })

  it('needs at most twice the memory of an object that comes byte by byte', () => {
    const object = `{"a":"${'x'.repeat(90_000)}"}`
    for (const byte of Buffer.from(object.slice(0, -1))) {
      splitter.push(Buffer.from([byte]))
      expect(splitter.heldBytes).to.be.at.most(Math.max(1_024, 2 * splitter.keptBytes))
    }
    splitter.push(Buffer.from('}{"b":'))
    expect(found).to.deep.equal([object])
    expect(splitter.heldBytes).to.equal(1_024)
  })

  describe('tell where what cannot be read begins, as a line and a column', () => {
    const lines = ['{"a":\n 1}', '  {"b":"\\n{"}{}', '', 'nope']
    const body = Buffer.from(lines.join('\n'))

    for (const size of [1, 2, 3, 1_000])
      it(`in pieces of ${size} bytes`, () => {
        let end: string | undefined
        for (let at = 0; at < body.length && end === undefined; at += size)
          end = splitter.push(body.subarray(at, at + size))
        expect([end, splitter.place]).to.deep.equal(['broken', 'line 5 column 1'])
      })

    it('where it was stopped between two objects', () => {
      const stopping = new ObjectSplitter(MAX_BYTES, () => stopping.stop())
      const between = Buffer.from('{}\n {} nope')
      let end: string | undefined
      for (let from = 0; end === undefined; from = stopping.readBytes) end = stopping.push(between, from)
      expect([end, stopping.place]).to.deep.equal(['broken', 'line 2 column 5'])
    })

    it('behind bytes that another one has read, and in an object that has not come as a whole', () => {
      splitter.pass(Buffer.from('\n\n{} '))
      splitter.push(Buffer.from('{}\n {"a'))
      splitter.push(Buffer.from('":\n'))
      expect(splitter.place).to.equal('line 4 column 2')
    })
  })

  it('gives each object memory of its own, or of the chunk', () => {
    const objects: Buffer[] = []
    const keeping = new ObjectSplitter(MAX_BYTES, bytes => objects.push(bytes))
    keeping.push(Buffer.from('{"first'))
    keeping.push(Buffer.from('":1}{"second":2}{"thi'))
    keeping.push(Buffer.from('rd":3}'))
    expect(objects.map(String)).to.deep.equal(['{"first":1}', '{"second":2}', '{"third":3}'])
  })
})
