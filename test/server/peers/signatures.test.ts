import { expect } from 'chai'
import { Replays, type RequestHead, Signer } from '../../../src/server/peers/signatures.js'

const SECRET = 'a secret of more than thirty-two bytes'
const HEAD: RequestHead = {
  from: 'aa',
  to: 'bb',
  principal: 'Änne\n',
  time: '1000',
  nonce: '7',
  timeoutMs: '500',
  hop: '1',
  digest: 'd'
}

describe('signatures of calls between gateways', () => {
  const signer = new Signer(SECRET)

  it('covers method, path, and every member of the head', () => {
    const headers = signer.headersOf('POST', '/call/x', HEAD)
    expect(signer.verifiedHead('POST', '/call/x', headers)).to.deep.equal(HEAD)
    expect(signer.verifiedHead('GET', '/call/x', headers)).to.equal(undefined)
    expect(signer.verifiedHead('POST', '/call/y', headers)).to.equal(undefined)
    for (const name of Object.keys(headers)) {
      expect(signer.verifiedHead('POST', '/call/x', { ...headers, [name]: `${headers[name]}0` })).to.equal(undefined)
      const { [name]: _, ...rest } = headers
      expect(signer.verifiedHead('POST', '/call/x', rest)).to.equal(undefined)
    }
  })

  it('refuses another secret, and a header that cannot be decoded', () => {
    const headers = signer.headersOf('POST', '/', HEAD)
    expect(new Signer(`${SECRET}!`).verifiedHead('POST', '/', headers)).to.equal(undefined)
    expect(signer.verifiedHead('POST', '/', { ...headers, 'castellan-principal': '%' })).to.equal(undefined)
  })

  it('never sends the secret', () => {
    const headers = {
      ...signer.headersOf('POST', '/', HEAD),
      ...signer.answerHeadersOf(HEAD, 'bb', 200, Buffer.alloc(0))
    }
    expect(JSON.stringify(headers)).to.not.contain(SECRET)
  })

  it('covers the status, the body and the sender of an answer, and the call that it answers', () => {
    const body = Buffer.from('yes')
    const headers = signer.answerHeadersOf(HEAD, 'bb', 200, body)
    const answer = signer.verifiedAnswer(HEAD, 200, headers)
    expect(answer?.from).to.equal('bb')
    expect(signer.verifiedAnswer(HEAD, 500, headers)).to.equal(undefined)
    expect(signer.verifiedAnswer({ ...HEAD, nonce: '8' }, 200, headers)).to.equal(undefined)
    expect(signer.verifiedAnswer({ ...HEAD, from: 'cc' }, 200, headers)).to.equal(undefined)
    for (const name of Object.keys(headers)) {
      expect(signer.verifiedAnswer(HEAD, 200, { ...headers, [name]: `${headers[name]}0` })).to.equal(undefined)
    }
    expect(signer.answerHeadersOf(HEAD, 'bb', 200, Buffer.from('no'))['castellan-digest']).to.not.equal(answer?.digest)
  })

  it('does not take a request for an answer, or an answer for a request', () => {
    const answer = signer.answerHeadersOf(HEAD, 'bb', 200, Buffer.alloc(0))
    const request = signer.headersOf('POST', '/', HEAD)
    expect(signer.verifiedHead('POST', '/', { ...request, ...answer })).to.equal(undefined)
    expect(signer.verifiedAnswer(HEAD, 200, request)).to.equal(undefined)
  })
})

describe('calls that are repeated', () => {
  let now = 0
  const requestAt = (time: number, nonce: number | string, from = 'aa') => ({
    from,
    time: String(time),
    nonce: `${nonce}`
  })
  let replays: Replays
  beforeEach(() => {
    now = 1_000_000
    replays = new Replays(() => now)
  })

  it('are refused', () => {
    expect(replays.refusalOf(requestAt(now, 1))).to.equal(undefined)
    expect(replays.refusalOf(requestAt(now, 1))).to.equal('the call was repeated')
    expect(replays.refusalOf(requestAt(now, 1, 'bb'))).to.equal(undefined)
  })

  it('are told apart from calls that overtake each other', () => {
    for (const nonce of [5, 3, 9, 4, 70_000, 69_999, 4_465]) {
      expect([nonce, replays.refusalOf(requestAt(now, nonce))]).to.deep.equal([nonce, undefined])
    }
    for (const nonce of [5, 3, 9, 4, 70_000, 69_999, 4_465, 4_464, 1]) {
      expect([nonce, replays.refusalOf(requestAt(now, nonce))]).to.deep.equal([nonce, 'the call was repeated'])
    }
  })

  it('are recognized however many calls there were in between', () => {
    for (let nonce = 1; nonce <= 200_000; nonce++) {
      if (replays.refusalOf(requestAt(now, nonce)) !== undefined) expect.fail(`${nonce} was refused`)
    }
    for (const nonce of [1, 1_000, 134_464, 134_465, 199_999, 200_000]) {
      expect([nonce, replays.refusalOf(requestAt(now, nonce))]).to.deep.equal([nonce, 'the call was repeated'])
    }
  })

  it('are refused by their time once their sender is forgotten', () => {
    // The clock of the sender is ahead as far as is allowed.
    const first = requestAt(now + 30_000, 1)
    expect(replays.refusalOf(first)).to.equal(undefined)
    for (let elapsed = 0; elapsed < 130_000; elapsed += 1_000) {
      now += 1_000
      expect(replays.refusalOf(first)).to.be.a('string')
      expect(replays.refusalOf(requestAt(now, elapsed + 1, `other-${elapsed}`))).to.equal(undefined)
    }
    expect(replays.senders).to.be.at.most(63)
  })

  it('cannot be hidden by clocks that differ', () => {
    for (const time of [now - 30_001, now + 30_001, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(replays.refusalOf(requestAt(time, 1))).to.equal('the clocks of the gateways differ')
    }
    for (const time of [now - 30_000, now + 30_000]) {
      expect(replays.refusalOf(requestAt(time, time))).to.equal(undefined)
    }
  })

  it('need a number that is one', () => {
    for (const nonce of ['', '0', '-1', '1.5', 'x', '9007199254740993']) {
      expect(replays.refusalOf(requestAt(now, nonce))).to.equal('the number of the call is invalid')
    }
  })

  it('are remembered of a limited number of senders', () => {
    for (let sender = 0; sender < 2_000; sender++) replays.refusalOf(requestAt(now, 1, `s${sender}`))
    expect(replays.senders).to.equal(1_024)
    expect(replays.refusalOf(requestAt(now, 1, 'one more'))).to.equal('too many gateways call')
    expect(replays.refusalOf(requestAt(now, 2, 's1'))).to.equal(undefined)
    now += 61_001
    expect(replays.refusalOf(requestAt(now, 1, 'one more'))).to.equal(undefined)
    expect(replays.senders).to.equal(1)
  })
})
