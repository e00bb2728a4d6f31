import { expect } from 'chai'
import sinon from 'sinon'
import { Webhook } from 'standardwebhooks'
import { newSecret, secretIn, signatureOf } from '../../../src/webhooks/endpoint/signature.js'

const at = 1_700_000_000

describe('signatures of webhooks', () => {
  // The package looks at the clock: signatures are good for five minutes.
  beforeEach(() => void sinon.useFakeTimers({ toFake: ['Date'], now: at * 1_000 }))
  afterEach(() => sinon.restore())

  it('are those of Standard Webhooks: the example of its page', () => {
    const secret = secretIn('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')!
    const body = Buffer.from('{"test": 2432232314}')
    expect(signatureOf([secret], 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1_614_265_330, body)).to.equal(
      'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    )
  })

  it('are verified by its package of JavaScript, by each of two secrets, and by no other', () => {
    const secrets = [newSecret(), newSecret()]
    const body = Buffer.from(JSON.stringify({ name: 'Jürgen', amount: 12 }))
    const signature = signatureOf(
      secrets.map(text => secretIn(text)!),
      'AAAA-3-17',
      at,
      body
    )
    const headers = { 'webhook-id': 'AAAA-3-17', 'webhook-timestamp': String(at), 'webhook-signature': signature }
    for (const secret of secrets)
      expect(new Webhook(secret).verify(body, headers)).to.deep.equal({ name: 'Jürgen', amount: 12 })
    expect(() => new Webhook(newSecret()).verify(body, headers)).to.throw('No matching signature')
    expect(() => new Webhook(secrets[0]!).verify(Buffer.from('{}'), headers)).to.throw('No matching signature')
    expect(() => new Webhook(secrets[0]!).verify(body, { ...headers, 'webhook-id': 'AAAA-3-18' })).to.throw()
  })

  it('are of the bytes, which need not be text', () => {
    const secret = secretIn(newSecret())!
    const [one, other] = [Buffer.from([0xff]), Buffer.from([0xfe])]
    expect(signatureOf([secret], 'a', at, one)).to.not.equal(signatureOf([secret], 'a', at, other))
    expect(signatureOf([secret], 'a', at, Buffer.alloc(0))).to.match(/^v1,[\w+/]{43}=$/)
  })

  it('need secrets of 24 to 64 bytes in base64 behind whsec_', () => {
    const text = (bytes: number): string => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`
    for (const bytes of [24, 32, 64]) expect(secretIn(text(bytes))).to.deep.equal(Buffer.alloc(bytes, 7))
    const wrong = ['', 'whsec_', text(23), text(65), text(32).slice(6), text(32).replace('_', '-'), `${text(32)}\n`]
    for (const one of [...wrong, `whsec_${'*'.repeat(32)}`]) expect(secretIn(one), one).to.equal(undefined)
    expect(secretIn(newSecret())).to.have.lengthOf(32)
    expect(newSecret()).to.not.equal(newSecret())
  })
})
