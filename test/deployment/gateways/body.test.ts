import { expect } from 'chai'
import { decodeBody, encodeBody } from '../../../src/deployment/gateways/body.js'
import { checkRows } from '../../support/rows.js'

describe('the body of a call between gateways', () => {
  const values: readonly [string, unknown][] = [
    ['nothing', undefined],
    ['null', null],
    ['JSON', { a: [1, 'two', true, null], b: { c: -0.5 } }],
    [
      'Buffers',
      [
        { key: null, value: Buffer.from([0, 255]) },
        { key: Buffer.alloc(0), value: Buffer.from('ab') }
      ]
    ],
    ['bigint', [2n ** 70n, -1n]],
    ['Maps', new Map<unknown, unknown>([[1, new Map([['x', Buffer.from('y')]])]])],
    ['undefined in a list', [1, undefined]],
    ['names that begin with $', { $bytes: [0, 5], $map: 1 }],
    ['the name __proto__', JSON.parse('{"__proto__": {"a": 1}}')]
  ]
  it('each value is decoded as it was encoded', () =>
    checkRows(values, ([, value]) => expect(decodeBody(encodeBody(value))).to.deep.equal(value)))

  it('leaves out absent members, as JSON does', () => {
    expect(decodeBody(encodeBody({ a: undefined, b: 1 }))).to.deep.equal({ b: 1 })
  })

  it('adds no base64 to bytes', () => {
    expect(encodeBody(Buffer.alloc(1_000)).length).to.be.below(1_100)
  })

  const framed = (json: string): Buffer => {
    const head = Buffer.alloc(4)
    head.writeUInt32BE(json.length)
    return Buffer.concat([head, Buffer.from(json)])
  }
  for (const [name, body] of [
    ['is empty', Buffer.alloc(0)],
    ['ends within the JSON', Buffer.from([0, 0, 0, 9, 0x7b])],
    ['is no JSON', framed('{')],
    ['names bytes that it does not have', framed('{"$bytes":[0,1]}')],
    ['names bytes before its start', framed('{"$bytes":[-2,1]}')],
    ['has a number that is none', framed('{"$bigint":"x"}')],
    ['has a number of more than 40 digits', framed(`{"$bigint":"${'1'.repeat(41)}"}`)],
    ['has an unknown form', framed('{"$date":1}')]
  ] as const) {
    it(`is refused when it ${name}`, () => {
      expect(() => decodeBody(body)).to.throw(/the body/)
    })
  }
})
