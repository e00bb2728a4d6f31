import { createHmac } from 'node:crypto'
import { expect } from 'chai'
import fc from 'fast-check'
import { gatewayOfHolder, holderOfToken, QueueTokens } from '../../../src/consumer/queue/queue-token.js'

const GATEWAY = Buffer.from('0123456789ab')
const KEY = Buffer.alloc(32, 1)
const OF = { gatewayId: GATEWAY, key: KEY, cluster: 'default' }
const INCARNATION = Buffer.from('fedcba98')
const MESSAGE = {
  topicId: 'AAECAwQFBgcICQoLDA0ODw',
  partition: 3,
  offset: 2 ** 40 + 7,
  deliveryCount: 2,
  acquisition: 4_000_000_000
}

describe('the token of a message of a queue', () => {
  const tokens = new QueueTokens({ ...OF, incarnation: INCARNATION })
  const token = tokens.write('orders', 'workers', MESSAGE, MESSAGE.acquisition)
  const read = (text: string, by = tokens, topic = 'orders', group = 'workers') => by.acquisitionOf(topic, group, text)

  it('has 95 characters, all of them legal in a path', () => {
    expect(token).to.match(/^[A-Za-z0-9_-]{95}$/)
  })

  it('ends with the HMAC of its fields, the cluster, the topic and the group, whatever queue had the last one', () => {
    for (const [topic, group] of [
      ['orders', 'workers'],
      ['orders', 'größe'],
      ['paid', 'größe'],
      ['orders', 'workers']
    ] as const) {
      const bytes = Buffer.from(tokens.write(topic, group, MESSAGE, MESSAGE.acquisition), 'base64url')
      const names = ['default', topic, group].map(text => `${Buffer.byteLength(text)}:${text}`).join('')
      const mac = createHmac('sha256', KEY).update(bytes.subarray(0, 55)).update(names).digest('hex')
      expect(bytes.toString('hex', 55)).to.equal(mac.slice(0, 32))
    }
  })

  it('tells what it was written for', () => {
    expect(read(token)).to.equal(MESSAGE.acquisition)
    expect(holderOfToken(token)).to.equal(tokens.holder)
    expect(gatewayOfHolder(tokens.holder)).to.equal(GATEWAY.toString('hex'))
  })

  it('has the fields of any message that it was written for', () => {
    const message = fc.record({
      topicId: fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Buffer.from(bytes).toString('base64url')),
      partition: fc.nat(),
      offset: fc.maxSafeNat(),
      deliveryCount: fc.nat(0xffff),
      acquisition: fc.integer({ min: 1, max: 0xffff_ffff })
    })
    fc.assert(
      fc.property(message, one => {
        const text = tokens.write('orders', 'workers', one, one.acquisition)
        expect(read(text)).to.equal(one.acquisition)
        const bytes = Buffer.from(text, 'base64url')
        expect({
          topicId: bytes.toString('base64url', 21, 37),
          partition: bytes.readInt32BE(37),
          offset: Number(bytes.readBigInt64BE(41)),
          deliveryCount: bytes.readUInt16BE(49),
          acquisition: bytes.readUInt32BE(51)
        }).to.deep.equal(one)
      })
    )
  })

  it('is invalid where a bit of it is another one, unless the bit is of the gateway or its process', () => {
    const bytes = Buffer.from(token, 'base64url')
    const types = new Set<string | number>()
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      const byte = bit >> 3
      const expected = byte >= 1 && byte < 13 ? 'elsewhere' : byte >= 13 && byte < 21 ? 'lost' : 'invalid'
      const type = read(changed.toString('base64url'))
      types.add(type)
      expect(type, `bit ${bit}`).to.equal(expected)
    }
    expect([...types].sort()).to.deep.equal(['elsewhere', 'invalid', 'lost'])
  })

  it('is invalid for another topic, another group and another cluster', () => {
    expect(read(token, tokens, 'others')).to.equal('invalid')
    expect(read(token, tokens, 'orders', 'others')).to.equal('invalid')
    expect(read(token, tokens, 'ordersw', 'orkers')).to.equal('invalid')
    expect(read(token, new QueueTokens({ ...OF, incarnation: INCARNATION, cluster: 'other' }))).to.equal('invalid')
  })

  it('is lost when a former process of the gateway has given it out', () => {
    expect(read(token, new QueueTokens(OF))).to.equal('lost')
    expect(read(token, new QueueTokens({ ...OF, key: Buffer.alloc(32, 2) }))).to.equal('lost')
  })

  it('is elsewhere when another gateway has given it out', () => {
    const other = new QueueTokens({ ...OF, gatewayId: Buffer.from('ba9876543210'), key: Buffer.alloc(32, 2) })
    expect(read(token, other)).to.equal('elsewhere')
  })

  it('is invalid as any other text, and as a second spelling of the same bytes', () => {
    for (const text of ['', 'x', token.slice(1), `${token}A`, `${token.slice(0, -1)}!`])
      expect(read(text)).to.equal('invalid')
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const spellings = [...letters].map(letter => token.slice(0, -1) + letter)
    const same = spellings.filter(text => Buffer.from(text, 'base64url').equals(Buffer.from(token, 'base64url')))
    expect(same).to.have.length(4)
    expect(same.filter(text => read(text) === MESSAGE.acquisition)).to.deep.equal([token])
  })
})
